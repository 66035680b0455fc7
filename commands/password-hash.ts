import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { DomainError } from '../domain/errors.ts';

/** 32 MiB and about a third of a second per attempt. Source: spec/07 §3.1. */
const cost = { ln: 15, r: 8, p: 3 };
const keyBytes = 32;
const saltBytes = 16;
const concurrent = 4;
const longestQueue = 64;

interface Cost {
  readonly ln: number;
  readonly r: number;
  readonly p: number;
}

/** The key derivation itself; tests of the queue put a slow-motion one in its place. */
export type Derive = (password: string, salt: Buffer, at: Cost, length: number) => Promise<Buffer>;
const scryptKey: Derive = (password, salt, at, length) =>
  new Promise<Buffer>((resolve, reject) => {
    const options = { N: 2 ** at.ln, r: at.r, p: at.p, maxmem: 256 * 2 ** at.ln * at.r };
    scrypt(password.normalize('NFKC'), salt, length, options, (err, key) => (err ? reject(err) : resolve(key)));
  });

const encode = (bytes: Buffer) => bytes.toString('base64').replace(/=+$/, '');
const phc = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/;

export interface PasswordHasher {
  /** PHC string `$scrypt$ln=15,r=8,p=3$<salt>$<hash>`. */
  hash(password: string): Promise<string>;
  /** `null` (nobody, or nobody with a password) takes the same time and is never valid. */
  verify(password: string, stored: string | null): Promise<{ valid: boolean; outdated: boolean }>;
}

/**
 * One per process: at most 4 hashings run at once, 64 more wait, others get UNAVAILABLE with Retry-After 1, so that a
 * flood of logins cannot take all memory and every thread.
 */
export function createPasswordHasher({ derive = scryptKey }: { derive?: Derive } = {}): PasswordHasher {
  let running = 0;
  const waiting: (() => void)[] = [];
  async function inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (running >= concurrent) {
      if (waiting.length >= longestQueue)
        throw new DomainError('UNAVAILABLE', 'Too many sign-ins at once, try again', { retryAfterSeconds: 1 });
      await new Promise<void>((resolve) => waiting.push(resolve));
    } else running += 1;
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      // The turn passes on directly, or it is given back.
      if (next === undefined) running -= 1;
      else next();
    }
  }
  const dummySalt = randomBytes(saltBytes);
  return {
    hash: (password) =>
      inTurn(async () => {
        const salt = randomBytes(saltBytes);
        const key = await derive(password, salt, cost, keyBytes);
        return `$scrypt$ln=${cost.ln},r=${cost.r},p=${cost.p}$${encode(salt)}$${encode(key)}`;
      }),
    verify: (password, stored) =>
      inTurn(async () => {
        const [, ln, r, p, salt, hash] = phc.exec(stored ?? '') ?? [];
        if (salt === undefined || hash === undefined) {
          await derive(password, dummySalt, cost, keyBytes);
          return { valid: false, outdated: false };
        }
        const at = { ln: Number(ln), r: Number(r), p: Number(p) };
        const expected = Buffer.from(hash, 'base64');
        const key = await derive(password, Buffer.from(salt, 'base64'), at, expected.length);
        return {
          valid: timingSafeEqual(key, expected),
          outdated: at.ln !== cost.ln || at.r !== cost.r || at.p !== cost.p,
        };
      }),
  };
}
