import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { existsSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** A value was encrypted with a key that is not among the configured ones. */
export class UnknownKeyError extends Error {
  readonly keyId: string;
  constructor(keyId: string, place: string) {
    super(`unknown encryption key ${keyId} for ${place}`);
    this.name = 'UnknownKeyError';
    this.keyId = keyId;
  }
}

/** Column encryption: AES-256-GCM, first key encrypts, all decrypt. Source: spec/07 §10.1. */
export interface ColumnCipher {
  readonly keyId: string;
  /** `place` is `table:column:row id`: a value cannot be moved to another row. */
  encrypt(place: string, plaintext: Buffer): Buffer;
  /** Throws UnknownKeyError, and Error when a single bit was changed. */
  decrypt(place: string, keyId: string, ciphertext: Buffer): Buffer;
}

const formatVersion = 1;

/** `keys`: base64 of 32 bytes each, at least one. Throws Error naming the position of a bad key. */
export function createColumnCipher(keys: readonly string[]): ColumnCipher {
  const parsed = keys.map((text, index) => {
    const key = Buffer.from(text, 'base64');
    if (key.length !== 32)
      throw new Error(`CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS: key ${index + 1} is not base64 of 32 bytes`);
    return { id: createHash('sha256').update(key).digest('hex').slice(0, 14), key };
  });
  const [first] = parsed;
  if (first === undefined) throw new Error('no encryption key');
  const byId = new Map(parsed.map(({ id, key }) => [id, key]));
  return {
    keyId: first.id,
    encrypt(place, plaintext) {
      const nonce = randomBytes(12);
      const cipher = createCipheriv('aes-256-gcm', first.key, nonce).setAAD(Buffer.from(place));
      return Buffer.concat([
        Buffer.from([formatVersion]),
        nonce,
        cipher.update(plaintext),
        cipher.final(),
        cipher.getAuthTag(),
      ]);
    },
    decrypt(place, keyId, ciphertext) {
      const key = byId.get(keyId);
      if (key === undefined) throw new UnknownKeyError(keyId, place);
      if (ciphertext[0] !== formatVersion || ciphertext.length < 29)
        throw new Error(`unreadable ciphertext at ${place}`);
      const decipher = createDecipheriv('aes-256-gcm', key, ciphertext.subarray(1, 13)).setAAD(Buffer.from(place));
      decipher.setAuthTag(ciphertext.subarray(-16));
      return Buffer.concat([decipher.update(ciphertext.subarray(13, -16)), decipher.final()]);
    },
  };
}

/**
 * Keys from the settings, else the key in `keyFile`, which is generated on first use (mode 0600): encryption is always on.
 * Two processes that start at once end with the same key, because only one can create the file.
 */
export function loadEncryptionKeys(configured: readonly string[], keyFile: string): readonly string[] {
  if (configured.length > 0) return configured;
  if (!existsSync(keyFile)) {
    mkdirSync(dirname(keyFile), { recursive: true });
    const draft = `${keyFile}.${process.pid}`;
    writeFileSync(draft, `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
    try {
      // A link appears whole or not at all, and only one can win.
      linkSync(draft, keyFile);
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== 'EEXIST') throw err;
    } finally {
      rmSync(draft, { force: true });
    }
  }
  return [readFileSync(keyFile, 'utf8').trim()];
}
