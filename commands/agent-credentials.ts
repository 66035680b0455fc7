import { type Db, transaction } from '../db/client.ts';
import type { ColumnCipher } from '../db/encryption.ts';
import { openPrivateKey, sealPrivateKey } from '../db/git-ssh-key.ts';
import type { AgentIdentity } from '../db/queries/agent-tokens.ts';
import { findGitSshKey, putGitSshKey } from '../db/queries/user-settings.ts';
import { lockUser } from '../db/queries/users.ts';
import { DomainError, notFound } from '../domain/errors.ts';
import { generateSshKey } from './ssh-key.ts';

/** Throws FORBIDDEN when this agent may not have what belongs to its owner. Source: spec/05 §2, §18. */
export function requireUserData(agent: AgentIdentity): void {
  if (agent.apiKeyScope !== 'all') throw new DomainError('FORBIDDEN', 'This agent may not see data of its owner');
  if (agent.ownerIsSystem) throw new DomainError('FORBIDDEN', 'The workspace belongs to nobody yet');
  if (agent.ownerStatus === 'suspended') throw new DomainError('FORBIDDEN', 'The owner is suspended');
}

/** The git key of the workspace's owner, both halves; made at first use. */
export const createGetOwnerSshKey = (deps: { db: Db; cipher: ColumnCipher; now(): Date }) =>
  async function getOwnerSshKey(agent: AgentIdentity): Promise<{ publicKey: string; privateKey: string }> {
    requireUserData(agent);
    const { ownerId } = agent;
    const stored = (await findGitSshKey(deps.db, ownerId)) ?? (await makeKey(ownerId));
    return {
      publicKey: stored.publicKey,
      privateKey: openPrivateKey(deps.cipher, ownerId, stored.privateKey),
    };

    async function makeKey(userId: string) {
      const pair = generateSshKey();
      const now = deps.now();
      return transaction(deps.db, async (tx) => {
        await lockUser(tx, userId);
        const privateKey = sealPrivateKey(deps.cipher, userId, pair.privateKey);
        const key = { userId, privateKey, publicKey: pair.publicKey, createdAt: now, updatedAt: now };
        await putGitSshKey(tx, key, { keepExisting: true });
        // Another request may have been first.
        const kept = await findGitSshKey(tx, userId);
        if (kept === undefined) throw notFound();
        return kept;
      });
    }
  };
