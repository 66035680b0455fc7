import { fileURLToPath } from 'node:url';
import { packDirectory } from '../scripts/stack/example-template.ts';
import type { Api } from './stack.ts';

/** An agent, an app, two `terraform_data`, metadata: what every bench of builds builds. */
export const benchTemplate = fileURLToPath(new URL('../test/support/templates/basic', import.meta.url));

interface Job {
  readonly status: string;
  readonly error?: string;
}
export interface Build {
  readonly id: string;
  readonly job: Job & { readonly id: string };
}
export type Transition = 'start' | 'stop';
/** Runs alternate, so that each has something to do. */
export const transitionOf = (index: number): Transition => (index % 2 === 0 ? 'stop' : 'start');

function assertSucceeded(what: string, job: Job): void {
  if (job.status !== 'succeeded') throw new Error(`${what}: ${job.status} ${job.error ?? ''}`);
}

/** Imports a template, else the one that every bench builds, and answers its id. */
export async function importBenchTemplate(
  api: Api,
  { name, directory } = { name: 'bench', directory: benchTemplate },
): Promise<string> {
  const { hash } = await api.upload<{ hash: string }>('/files', await packDirectory(directory));
  const version = await api.post<{ id: string }>('/organizations/default/templateversions', {
    storage_method: 'file',
    provisioner: 'terraform',
    file_id: hash,
  });
  await api.follow(`/templateversions/${version.id}/logs`);
  assertSucceeded('import', (await api.get<{ job: Job }>(`/templateversions/${version.id}`)).job);
  const template = { name, template_version_id: version.id };
  return (await api.post<{ id: string }>('/organizations/default/templates', template)).id;
}

/** A started workspace. */
export async function createBenchWorkspace(api: Api, templateId: string, name: string): Promise<string> {
  const body = { name, template_id: templateId };
  const workspace = await api.post<{ id: string; latest_build: Build }>('/users/me/workspaces', body);
  await untilSucceeded(api, workspace.latest_build.id);
  return workspace.id;
}

/** From the request to the news that it has succeeded, as a client that follows the log gets it. */
export async function build(api: Api, workspaceId: string, transition: Transition): Promise<Build> {
  const { id } = await api.post<Build>(`/workspaces/${workspaceId}/builds`, { transition });
  return untilSucceeded(api, id);
}

async function untilSucceeded(api: Api, buildId: string): Promise<Build> {
  await api.follow(`/workspacebuilds/${buildId}/logs`);
  const over = await api.get<Build>(`/workspacebuilds/${buildId}`);
  assertSucceeded(`build ${buildId}`, over.job);
  return over;
}
