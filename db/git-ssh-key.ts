import type { ColumnCipher } from './encryption.ts';

const place = (userId: string) => `gitsshkeys:private_key:${userId}`;

/** Stored as `<key id>:<base64>`: the column is text and the row has no place of its own for the key id. */
export const sealPrivateKey = (cipher: ColumnCipher, userId: string, privateKey: string): string =>
  `${cipher.keyId}:${cipher.encrypt(place(userId), Buffer.from(privateKey)).toString('base64')}`;

/** For the agent that signs in to git as its workspace's owner; never answered to people. */
export function openPrivateKey(cipher: ColumnCipher, userId: string, stored: string): string {
  const [keyId = '', sealed = ''] = stored.split(':');
  return cipher.decrypt(place(userId), keyId, Buffer.from(sealed, 'base64')).toString();
}
