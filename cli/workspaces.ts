import { segment } from './client.ts';
import type { Client } from './client.ts';
import { CliError, exitCodes, isStatus, usageError, withNext } from './errors.ts';
import type { ParameterValue, Workspace, WorkspaceBuild } from './types.ts';

/** `name` (mine) or `owner/name`. Throws CliError: usage for another form, not found. */
export async function getWorkspace(
  client: Client,
  reference: string,
  options: { readonly includeDeleted?: boolean } = {},
): Promise<Workspace> {
  const { owner, name } = parseReference(reference);
  const query = options.includeDeleted === true ? '?include_deleted=true' : '';
  const found = await client.find<Workspace>(`/api/v2/users/${segment(owner)}/workspace/${segment(name)}${query}`);
  if (found !== undefined) return found;
  throw new CliError(`There is no workspace ${reference}`, {
    exitCode: exitCodes.notFound,
    next: owner === 'me' ? 'berth list shows yours' : 'berth list --all shows those that you may see',
  });
}

export function parseReference(reference: string): { owner: string; name: string } {
  const parts = reference.split('/');
  const [first = '', second] = parts;
  if (parts.length > 2 || first === '' || second === '')
    throw usageError(`"${reference}" is not a workspace`, 'write its name, or owner/name');
  return second === undefined ? { owner: 'me', name: first } : { owner: first, name: second };
}

export interface NewWorkspace {
  readonly name: string;
  readonly template_id?: string;
  readonly template_version_id?: string;
  readonly template_version_preset_id?: string;
  readonly rich_parameter_values: readonly ParameterValue[];
  readonly ttl_ms?: number;
  readonly autostart_schedule?: string;
  readonly automatic_updates?: 'always' | 'never';
}

export const createWorkspace = (
  client: Client,
  workspace: NewWorkspace,
  { owner = 'me', idempotencyKey }: { owner?: string; idempotencyKey: string },
): Promise<Workspace> =>
  explaining(
    client.request(`/api/v2/users/${segment(owner)}/workspaces`, { method: 'POST', json: workspace, idempotencyKey }),
    workspace.name,
  );

export interface BuildRequest {
  readonly transition: 'start' | 'stop' | 'delete';
  readonly template_version_id?: string;
  readonly template_version_preset_id?: string;
  readonly rich_parameter_values?: readonly ParameterValue[];
  readonly orphan?: boolean;
}

export const requestBuild = (
  client: Client,
  workspace: Pick<Workspace, 'id' | 'name'>,
  { build, idempotencyKey }: { build: BuildRequest; idempotencyKey: string },
): Promise<WorkspaceBuild> =>
  explaining(
    client.request(`/api/v2/workspaces/${workspace.id}/builds`, {
      method: 'POST',
      json: { reason: 'cli', ...build },
      idempotencyKey,
    }),
    workspace.name,
  );

/** Only an awake workspace can be started; one that is awake already stays so. */
export const wakeWorkspace = (client: Client, { id }: Pick<Workspace, 'id'>): Promise<unknown> =>
  client.request(`/api/v2/workspaces/${id}/dormant`, { method: 'PUT', json: { dormant: false } });

/** The same build again, after it failed or was canceled. */
export const retryBuild = (
  client: Client,
  { name, latest_build: build }: Workspace,
  idempotencyKey: string,
): Promise<WorkspaceBuild> =>
  repairing(client, name, { path: `/api/v2/workspacebuilds/${build.id}/retry`, idempotencyKey });

/** A build that only reads the world into the state. */
export const refreshWorkspace = (
  client: Client,
  { id, name }: Workspace,
  idempotencyKey: string,
): Promise<WorkspaceBuild> => repairing(client, name, { path: `/api/v2/workspaces/${id}/refresh`, idempotencyKey });

async function repairing(
  client: Client,
  name: string,
  { path, idempotencyKey }: { path: string; idempotencyKey: string },
): Promise<WorkspaceBuild> {
  try {
    return await client.request<WorkspaceBuild>(path, { method: 'POST', idempotencyKey });
  } catch (err) {
    throw isStatus(err, 409) ? withNext(err, `berth show ${name} and berth builds ${name} tell how it stands`) : err;
  }
}

/** Adds the next step that only a workspace command can know. */
async function explaining<T>(work: Promise<T>, name: string): Promise<T> {
  try {
    return await work;
  } catch (err) {
    if (isStatus(err, 409) && err.validations.length === 0)
      throw withNext(err, `berth logs -f ${name} follows what is running, berth cancel ${name} ends it`);
    if (isStatus(err, 400) && err.validations.length > 0)
      throw withNext(err, 'set values with --parameter name=value; berth templates show lists what a template takes');
    throw err;
  }
}

export const getBuild = (client: Client, id: string): Promise<WorkspaceBuild> =>
  client.get(`/api/v2/workspacebuilds/${id}`);
export const buildLogPath = (id: string): string => `/api/v2/workspacebuilds/${id}/logs`;

export const listBuilds = (client: Client, workspaceId: string, limit: number): Promise<WorkspaceBuild[]> =>
  client.get(`/api/v2/workspaces/${workspaceId}/builds?limit=${limit}`);

export function getBuildByNumber(client: Client, workspace: Workspace, number: number): Promise<WorkspaceBuild> {
  const path = `/api/v2/users/${segment(workspace.owner_name)}/workspace/${segment(workspace.name)}/builds/${number}`;
  return client.get<WorkspaceBuild>(path).catch((err: unknown) => {
    throw isStatus(err, 404) ? withNext(err, `berth builds ${workspace.name} lists its builds`) : err;
  });
}

/** Asks the server to end a build; 412 and "already over" are the server's to say. */
export const cancelBuild = (client: Client, id: string): Promise<{ message: string }> =>
  client.request(`/api/v2/workspacebuilds/${id}/cancel`, { method: 'PATCH' });
