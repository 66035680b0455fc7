import { transaction } from '../db/client.ts';
import type { ColumnCipher } from '../db/encryption.ts';
import { insertAudit } from '../db/queries/audit-logs.ts';
import { findGitSshKey, findUserConfig, putGitSshKey, setUserConfig } from '../db/queries/user-settings.ts';
import { lockUser, updateUser } from '../db/queries/users.ts';
import { authorize, userObject } from '../domain/authorization.ts';
import { invalidField, notFound } from '../domain/errors.ts';
import type { AccessDeps, Caller } from './caller.ts';
import { sealPrivateKey } from '../db/git-ssh-key.ts';
import { generateSshKey } from './ssh-key.ts';

export interface Appearance {
  readonly themePreference: string;
  readonly terminalFont: string;
}

const word = /^[a-z0-9-]{0,64}$/i;

export async function getAppearance(
  deps: AccessDeps,
  caller: Caller,
  user: { id: string; themePreference: string },
): Promise<Appearance> {
  authorize(caller.subject, 'read_personal', userObject(user.id));
  return {
    themePreference: user.themePreference,
    terminalFont: (await findUserConfig(deps.db, user.id, 'terminal_font')) ?? '',
  };
}

export async function setAppearance(
  deps: AccessDeps,
  caller: Caller,
  input: Appearance & { userId: string },
): Promise<Appearance> {
  const { themePreference, terminalFont, userId } = input;
  if (!word.test(themePreference)) throw invalidField('theme_preference', 'must be a word');
  if (!word.test(terminalFont)) throw invalidField('terminal_font', 'must be a word');
  await transaction(deps.db, async (tx) => {
    const user = await lockUser(tx, userId);
    authorize(caller.subject, 'update_personal', userObject(user.id));
    await updateUser(tx, user.id, { themePreference, updatedAt: deps.now() });
    await setUserConfig(tx, user.id, { key: 'terminal_font', value: terminalFont });
  });
  return { themePreference, terminalFont };
}

/** The public half of the user's git key; made at first use, or anew with `renew`. */
export async function getGitSshKey(
  deps: AccessDeps & { cipher: ColumnCipher },
  caller: Caller,
  input: { userId: string; renew: boolean },
): Promise<{ publicKey: string; createdAt: Date; updatedAt: Date }> {
  const { userId, renew } = input;
  authorize(caller.subject, renew ? 'update_personal' : 'read_personal', userObject(userId));
  const existing = await findGitSshKey(deps.db, userId);
  if (existing !== undefined && !renew) return existing;
  const pair = generateSshKey();
  const now = deps.now();
  return transaction(deps.db, async (tx) => {
    const user = await lockUser(tx, userId);
    const key = {
      userId,
      privateKey: sealPrivateKey(deps.cipher, userId, pair.privateKey),
      publicKey: pair.publicKey,
      createdAt: now,
      updatedAt: now,
    };
    await putGitSshKey(tx, key, { keepExisting: !renew });
    const stored = await findGitSshKey(tx, userId);
    if (stored === undefined) throw notFound();
    if (renew)
      await insertAudit(tx, {
        origin: caller.origin,
        time: now,
        resourceType: 'git_ssh_key',
        resourceId: userId,
        resourceTarget: user.username,
        action: 'write',
        diff: {
          public_key: { old: existing?.publicKey ?? null, new: pair.publicKey, secret: false },
          private_key: { old: '', new: '', secret: true },
        },
      });
    return stored;
  });
}
