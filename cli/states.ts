import type { Client } from './client.ts';
import { CliError, exitCodes, isStatus, withNext } from './errors.ts';
import { isOver } from './follow-job.ts';
import type { StateVersion, Workspace } from './types.ts';

const statesOf = (workspace: Workspace): string => `/api/v2/workspaces/${workspace.id}/state`;

export const listStateVersions = (client: Client, workspace: Workspace, limit: number): Promise<StateVersion[]> =>
  explaining(client.get<StateVersion[]>(`${statesOf(workspace)}/versions?limit=${limit}`), workspace);

/** The version that the next build starts from. Throws CliError when there is none yet. */
export async function getCurrentState(client: Client, workspace: Workspace): Promise<StateVersion> {
  const [current] = await listStateVersions(client, workspace, 1);
  if (current !== undefined) return current;
  throw new CliError(`${workspace.name} has no state yet`, {
    exitCode: exitCodes.notFound,
    next: `its first resource makes one: berth start ${workspace.name}`,
  });
}

/** Byte by byte as Terraform wrote it. */
export const downloadState = (client: Client, workspace: Workspace, version: number): Promise<Buffer> =>
  explaining(client.download(`${statesOf(workspace)}/versions/${version}`), workspace);

export const uploadState = (client: Client, workspace: Workspace, bytes: Buffer): Promise<void> =>
  explaining(
    client.request(`/api/v2/workspacebuilds/${workspace.latest_build.id}/state`, {
      method: 'PUT',
      json: { state: bytes.toString('base64') },
    }),
    workspace,
  );

export const restoreState = (
  client: Client,
  workspace: Workspace,
  { version, force }: { version: number; force: boolean },
): Promise<StateVersion> =>
  explaining(
    client.request(`${statesOf(workspace)}/versions/${version}/restore`, { method: 'POST', json: { force } }),
    workspace,
    `berth state restore ${workspace.name} ${version} --force`,
  );

export const forgetResource = (
  client: Client,
  workspace: Workspace,
  address: string,
): Promise<StateVersion & { readonly forgotten: readonly string[] }> =>
  explaining(client.request(`${statesOf(workspace)}/forget`, { method: 'POST', json: { address } }), workspace);

/** Adds the next step that only a command about states can know. */
async function explaining<T>(work: Promise<T>, workspace: Workspace, forced?: string): Promise<T> {
  try {
    return await work;
  } catch (err) {
    const { name, latest_build: build } = workspace;
    // The server tells nobody else that there are states.
    if (isStatus(err, 404))
      throw withNext(err, `berth state list ${name} shows the versions, to those who may update the template`);
    if (isStatus(err, 410)) throw withNext(err, `berth state list ${name} shows what is kept`);
    if (isStatus(err, 409) && forced !== undefined && err.validations.some(({ field }) => field === 'force'))
      throw withNext(err, `${forced} restores it all the same`);
    if (isStatus(err, 409) && !isOver(build.job))
      throw withNext(err, `berth logs -f ${name} follows what is running, berth cancel ${name} ends it`);
    throw err;
  }
}
