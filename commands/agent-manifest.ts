import type { Db } from '../db/client.ts';
import type { ColumnCipher } from '../db/encryption.ts';
import { type ManifestRows, findManifest } from '../db/queries/agent-manifests.ts';
import type { AgentIdentity } from '../db/queries/agent-tokens.ts';
import { listInjectedSecrets } from '../db/queries/user-secrets.ts';
import { secretInjector } from '../domain/actors.ts';
import { authorize } from '../domain/authorization.ts';
import { DomainError, notFound } from '../domain/errors.ts';
import { isReservedEnvName } from '../domain/user-secrets.ts';
import type { Logger } from '../telemetry/logger.ts';

export interface InjectedSecret {
  readonly envName: string;
  readonly filePath: string;
  readonly value: Buffer;
}
export interface Manifest extends ManifestRows {
  readonly secrets: readonly InjectedSecret[];
}

interface Deps {
  readonly db: Db;
  readonly cipher: ColumnCipher;
  readonly logger: Logger;
}

/**
 * What an agent runs by, with the secrets of the workspace's owner. Throws CONFLICT (ask again) while a claim is under way: whose
 * secrets they are is not settled yet. Source: spec/05 §3, spec/07 §9.
 */
export async function getManifest(deps: Deps, agent: AgentIdentity): Promise<Manifest> {
  if (agent.window === 'claim')
    throw new DomainError('CONFLICT', 'The workspace is being claimed', { retryAfterSeconds: 2 });
  const rows = await findManifest(deps.db, agent.agentId);
  if (rows === undefined) throw notFound();
  return { ...rows, secrets: await secretsOf(deps, rows) };
}

async function secretsOf(deps: Deps, rows: ManifestRows): Promise<InjectedSecret[]> {
  const { ownerId } = rows;
  if (rows.ownerIsSystem || rows.ownerStatus === 'suspended' || rows.apiKeyScope === 'no_user_data') return [];
  authorize(secretInjector({ ownerId }), 'read', { type: 'user_secret', ownerId });
  const secrets = await listInjectedSecrets(deps.db, deps.cipher, ownerId);
  return secrets.flatMap(({ name, envName, filePath, value }) => {
    if (envName === '' || !isReservedEnvName(envName)) return [{ envName, filePath, value }];
    // It was stored before the name was reserved.
    deps.logger.warn(
      { secret_name: name, agent_id: rows.agentId },
      'a secret has a reserved variable name and is left out',
    );
    return filePath === '' ? [] : [{ envName: '', filePath, value }];
  });
}
