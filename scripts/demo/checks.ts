import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from '../../cli/client.ts';
import type { Workspace } from '../../cli/types.ts';
import { identify, isAlive } from '../../toolchain/process.ts';
import type { ProcessIdentity } from '../../toolchain/process.ts';

/** Something is not as it was promised. */
export class DemoFailure extends Error {}

const check = (holds: boolean, otherwise: string): void => {
  if (!holds) throw new DemoFailure(otherwise);
};

/** What the template has made, read from the metadata of its resources, as a person would. */
export interface Traces {
  readonly directory: string;
  readonly address: string;
  readonly process: ProcessIdentity;
}

export async function readTraces(workspace: Workspace): Promise<Traces> {
  const metadata = (resource: string, key: string): string => {
    const found = workspace.latest_build.resources
      .find((each) => each.type === 'terraform_data' && each.name === resource)
      ?.metadata?.find((item) => item.key === key)?.value;
    if (found === undefined) throw new DemoFailure(`the resource ${resource} has no "${key}"`);
    return found;
  };
  const directory = metadata('home', 'directory');
  return {
    directory,
    address: metadata('process', 'address'),
    process: await identify(Number(readFileSync(join(directory, 'process.pid'), 'utf8'))),
  };
}

/** The workspace answers over HTTP with its greeting, and its agent is known. */
export async function checkStarted(workspace: Workspace, greeting: string): Promise<Traces> {
  const { status, resources } = workspace.latest_build;
  check(status === 'running', `the workspace is ${status} after its start`);
  check(
    resources.some((resource) => (resource.agents ?? []).length > 0),
    'no resource of the running workspace has an agent',
  );
  const traces = await readTraces(workspace);
  check(await isAlive(traces.process), `process ${traces.process.pid} does not run`);
  check(existsSync(join(traces.directory, 'home')), `${traces.directory}/home does not exist`);
  const page = await (await fetch(traces.address, { signal: AbortSignal.timeout(5_000) })).text();
  check(page.startsWith(`${greeting}\n`), `${traces.address} does not greet with "${greeting}": ${page}`);
  return traces;
}

/** The process is gone, the home is there with what was put into it. */
export async function checkStopped(
  workspace: Workspace,
  { traces, kept }: { traces: Traces; kept: string },
): Promise<void> {
  check(
    workspace.latest_build.status === 'stopped',
    `the workspace is ${workspace.latest_build.status} after its stop`,
  );
  check(!(await isAlive(traces.process)), `process ${traces.process.pid} runs after the stop`);
  check(existsSync(join(traces.directory, 'home', kept)), `${kept} is gone from the home after the stop`);
}

/** Nothing is left: by id, by name, in the list, on the disk, among the processes. */
export async function checkGone(client: Client, workspace: Workspace, traces: Traces): Promise<void> {
  const { id, name } = workspace;
  check((await client.find(`/api/v2/workspaces/${id}`)) === undefined, 'the deleted workspace can be read by its id');
  check((await client.find(`/api/v2/users/me/workspace/${name}`)) === undefined, 'it can be read by its name');
  const list = await client.get<{ count: number }>(
    `/api/v2/workspaces?q=${encodeURIComponent(`owner:me name:${name}`)}`,
  );
  check(list.count === 0, 'it is still in the list');
  check(!(await isAlive(traces.process)), `process ${traces.process.pid} still runs`);
  check(!existsSync(traces.directory), `${traces.directory} still exists`);
}
