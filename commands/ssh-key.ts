import { generateKeyPairSync } from 'node:crypto';

const field = (bytes: Buffer): Buffer => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
};
const text = (value: string) => field(Buffer.from(value));
const number = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

/** A new Ed25519 pair in the forms that ssh reads: `authorized_keys` line and OpenSSH private key file (PROTOCOL.key). */
export function generateSshKey(): { publicKey: string; privateKey: string } {
  const pair = generateKeyPairSync('ed25519');
  const jwk = pair.privateKey.export({ format: 'jwk' });
  const secret = Buffer.from(jwk.d ?? '', 'base64url');
  const point = Buffer.from(jwk.x ?? '', 'base64url');
  const type = 'ssh-ed25519';
  const publicBlob = Buffer.concat([text(type), field(point)]);
  const check = number(point.readUInt32BE(0));
  const section = Buffer.concat([
    check,
    check,
    text(type),
    field(point),
    field(Buffer.concat([secret, point])),
    text(''),
  ]);
  // Padded to the block size of "no cipher" with 1, 2, 3, …
  const padding = Buffer.from(Array.from({ length: (8 - (section.length % 8)) % 8 }, (_, index) => index + 1));
  const file = Buffer.concat([
    Buffer.from('openssh-key-v1\0'),
    text('none'),
    text('none'),
    text(''),
    number(1),
    field(publicBlob),
    field(Buffer.concat([section, padding])),
  ]);
  const lines = file.toString('base64').match(/.{1,70}/g) ?? [];
  return {
    publicKey: `${type} ${publicBlob.toString('base64')}\n`,
    privateKey: `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines.join('\n')}\n-----END OPENSSH PRIVATE KEY-----\n`,
  };
}
