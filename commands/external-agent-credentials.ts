import { transaction } from '../db/client.ts';
import type { ColumnCipher } from '../db/encryption.ts';
import { insertAudit } from '../db/queries/audit-logs.ts';
import { findExternalAgent, findExternalBuild, openAgentToken } from '../db/queries/external-agents.ts';
import { findWorkspaceIncludingDeleted } from '../db/queries/workspaces.ts';
import { authorizeWorkspace } from '../domain/authorization.ts';
import { DomainError, notFound } from '../domain/errors.ts';
import { externalAgentCommand } from '../domain/external-agents.ts';
import { isUuid } from '../domain/ids.ts';
import type { AccessDeps, Caller } from './caller.ts';

export interface ExternalAgentCredentials {
  readonly agentToken: string;
  readonly command: string;
}

/**
 * The token of an external agent and the line that starts it, for those who may update the workspace; audited without either.
 * Throws NOT_FOUND (no such workspace, external agent, or one with an instance identity), FORBIDDEN, CONFLICT when the latest
 * build is no succeeded start: its token would not work. Source: spec/05 §15.
 */
export async function readExternalAgentCredentials(
  deps: AccessDeps & { readonly cipher: ColumnCipher },
  caller: Caller,
  of: { workspaceId: string; agentName: string },
): Promise<ExternalAgentCredentials> {
  return transaction(deps.db, async (tx) => {
    const workspace = await findWorkspaceIncludingDeleted(tx, of.workspaceId);
    if (workspace === undefined || workspace.deleted) throw notFound();
    authorizeWorkspace(caller.subject, 'update', workspace);
    const build = await findExternalBuild(tx, workspace.id);
    const started = build?.transition === 'start' && build.jobStatus === 'succeeded';
    const isExternal = build?.hasExternalAgent === true || (!started && build?.versionHasExternalAgent === true);
    if (build === undefined || !isExternal) throw notFound();
    if (!started)
      throw new DomainError('CONFLICT', 'The latest build of the workspace is not a start that succeeded', {
        detail: 'Credentials exist once it has: start the workspace.',
      });
    const agent = await findExternalAgent(tx, { jobId: build.jobId, name: of.agentName });
    if (agent === undefined || agent.instanceId !== null) throw notFound();
    const token = openAgentToken(deps.cipher, agent);
    // Nothing else is ever let in, and the token becomes part of a shell line.
    if (!isUuid(token)) throw notFound();
    await insertAudit(tx, {
      origin: caller.origin,
      time: deps.now(),
      resourceType: 'workspace_agent',
      resourceId: agent.id,
      resourceTarget: agent.name,
      action: 'write',
      organizationId: workspace.organizationId,
      additionalFields: {
        workspace_name: workspace.name,
        workspace_id: workspace.id,
        build_id: build.id,
        credentials_read: true,
      },
    });
    return {
      agentToken: token,
      command: externalAgentCommand({ accessUrl: deps.config.CODER_ACCESS_URL, ...agent, token }),
    };
  });
}
