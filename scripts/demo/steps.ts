import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { newIdempotencyKey } from '../../cli/client.ts';
import type { Client } from '../../cli/client.ts';
import { workflowLink } from '../../cli/context.ts';
import { followJob } from '../../cli/follow-job.ts';
import type { Output } from '../../cli/output.ts';
import { pushTemplate } from '../../cli/push-template.ts';
import { requireSuccess } from '../../cli/run-build.ts';
import type { JobLog, ProvisionerJob, Workspace, WorkspaceBuild } from '../../cli/types.ts';
import { buildLogPath, getBuild, requestBuild } from '../../cli/workspaces.ts';
import type { BuildRequest } from '../../cli/workspaces.ts';
import { DemoFailure } from './checks.ts';

export interface DemoRun {
  readonly client: Client;
  readonly output: Output;
  readonly signal: AbortSignal;
  /** Where the demo's workspaces live on this host. */
  readonly baseDirectory: string;
}
export interface DemoStep {
  readonly title: string;
  readonly job: ProvisionerJob;
  /** From the request to the last log line, as the caller saw it. */
  readonly wallMs: number;
  readonly link: string | undefined;
}
const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');
export const templateName = 'demo';

/** What Terraform only reads, at each build again, would hide what it does. */
const shows = ({ output }: JobLog): boolean => !/^data\.|: Refresh(ing|ed| complete)/.test(output);

/** Pushes the example as a new version, with so many prebuilds in reserve, and makes it the active one. */
export async function push(run: DemoRun, poolSize: number): Promise<DemoStep> {
  const since = Date.now();
  const pushed = await pushTemplate(run.client, run.output, {
    directory: join(root, 'examples', 'templates', 'local-process'),
    name: templateName,
    organization: 'default',
    message: 'pushed by npm run demo',
    variables: [
      { name: 'base_directory', value: run.baseDirectory },
      { name: 'pool_size', value: String(poolSize) },
    ],
    activate: true,
    signal: run.signal,
    shows,
  });
  if (pushed.kind !== 'pushed') throw new DemoFailure('interrupted while the template was imported');
  const { version } = pushed;
  run.output.say(`✔ ${version.name} is the active version of ${templateName}`);
  const link = await workflowLink(run.client, `import/${version.id}`);
  return { title: `import ${version.name}`, job: version.job, wallMs: Date.now() - since, link };
}

/** Requests a build and follows it to its end. */
export async function build(run: DemoRun, workspace: Workspace, request: BuildRequest): Promise<DemoStep> {
  const since = Date.now();
  const idempotencyKey = newIdempotencyKey();
  return follow(run, { build: await requestBuild(run.client, workspace, { build: request, idempotencyKey }), since });
}

/** Shows a build's log as it grows. Throws DemoFailure when it is interrupted, CliError when the build fails. */
export async function follow(
  run: DemoRun,
  { build: first, since }: { build: WorkspaceBuild; since: number },
): Promise<DemoStep> {
  const { client, output, signal } = run;
  const title = `${first.transition} (build ${first.build_number})`;
  const ended = await followJob(client, output, {
    title: `${title} of ${first.workspace_name}`,
    path: buildLogPath(first.id),
    read: () => getBuild(client, first.id),
    signal,
    shows,
  });
  const wallMs = Date.now() - since;
  if (signal.aborted) throw new DemoFailure(`interrupted during the ${title}`);
  requireSuccess(ended);
  return { title, job: ended.job, wallMs, link: await workflowLink(client, `build/${first.id}`) };
}
