import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { newIdempotencyKey } from '../../cli/client.ts';
import type { Client } from '../../cli/client.ts';
import { workspaceText } from '../../cli/commands/workspace-text.ts';
import { isStatus } from '../../cli/errors.ts';
import { workflowLink } from '../../cli/context.ts';
import { followJob } from '../../cli/follow-job.ts';
import type { Output } from '../../cli/output.ts';
import { pushTemplate } from '../../cli/push-template.ts';
import { requireSuccess } from '../../cli/run-build.ts';
import { findTemplate } from '../../cli/templates.ts';
import type { JobLog, ParameterValue, ProvisionerJob, Workspace, WorkspaceBuild } from '../../cli/types.ts';
import { buildLogPath, createWorkspace, getBuild, requestBuild } from '../../cli/workspaces.ts';
import type { BuildRequest } from '../../cli/workspaces.ts';
import { checkDrained, followAgent } from './agent.ts';
import { DemoFailure, checkGone, checkStarted, checkStopped } from './checks.ts';

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
export interface DemoReport {
  readonly steps: readonly DemoStep[];
  readonly totalMs: number;
}

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');
const templateName = 'demo';
const namePrefix = 'demo-';

/** What Terraform only reads, at each build again, would hide what it does. */
const shows = ({ output }: JobLog): boolean => !/^data\.|: Refresh(ing|ed| complete)/.test(output);

/** The main job through the CLI's own modules. Throws CliError or DemoFailure at the first thing that is not as promised. */
export async function runDemo(run: DemoRun): Promise<DemoReport> {
  const { client, output } = run;
  const began = Date.now();
  const steps: DemoStep[] = [];
  const section = (text: string): void => output.say(`\n${output.colors.bold(text)}`);

  section('1. Push a template version and import it with Terraform');
  steps.push(await push(run));

  section('2. Create a workspace');
  const name = `${namePrefix}${randomBytes(3).toString('hex')}`;
  const parameters = [
    { name: 'greeting', value: 'Hello from Berth' },
    { name: 'disk_mb', value: '32' },
  ];
  const template = await findTemplate(client, 'default', templateName);
  const since = Date.now();
  const created = await createWorkspace(
    client,
    { name, template_id: template?.id ?? '', rich_parameter_values: parameters },
    { idempotencyKey: newIdempotencyKey() },
  );
  steps.push(await follow(run, { build: created.latest_build, since }));

  section('3. What it is made of');
  const read = (): Promise<Workspace> => client.get(`/api/v2/workspaces/${created.id}`);
  let workspace = await read();
  const shown = await client.get<ParameterValue[]>(`/api/v2/workspacebuilds/${workspace.latest_build.id}/parameters`);
  output.say(workspaceText({ workspace, parameters: shown, now: new Date() }, output.colors));
  const first = await checkStarted(workspace, 'Hello from Berth');
  const kept = 'kept-by-the-demo.txt';
  writeFileSync(join(first.directory, 'home', kept), 'written while the workspace ran\n');
  output.say(`\n✔ process ${first.process.pid} answers at ${first.address}`);

  section('4. Its agent');
  const running = await followAgent(run, workspace);

  section('5. Stop');
  steps.push(await build(run, workspace, { transition: 'stop' }));
  workspace = await read();
  await checkStopped(workspace, { traces: first, kept });
  output.say(`✔ process ${first.process.pid} is gone, ${join(first.directory, 'home', kept)} is still there`);
  await checkDrained(run, running, first.directory);
  output.say('✔ the stop script ran before Terraform took anything away');

  section('6. Start with a changed parameter');
  const changed = [{ name: 'greeting', value: 'Good morning' }];
  steps.push(await build(run, workspace, { transition: 'start', rich_parameter_values: changed }));
  workspace = await read();
  const second = await checkStarted(workspace, 'Good morning');
  output.say(`✔ process ${second.process.pid} greets with "Good morning"`);

  section('7. Delete');
  steps.push(await build(run, workspace, { transition: 'delete' }));
  await checkGone(client, workspace, second);
  output.say('✔ nothing is left: no workspace, no row in the list, no process, no directory');
  await removeTemplate(run);
  return { steps, totalMs: Date.now() - began };
}

async function push(run: DemoRun): Promise<DemoStep> {
  const since = Date.now();
  const pushed = await pushTemplate(run.client, run.output, {
    directory: join(root, 'examples', 'templates', 'local-process'),
    name: templateName,
    organization: 'default',
    message: 'pushed by npm run demo',
    variables: [
      { name: 'base_directory', value: run.baseDirectory },
      // The demo counts what it has made; a reserve would be made beside it.
      { name: 'pool_size', value: '0' },
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

async function build(run: DemoRun, workspace: Workspace, request: BuildRequest): Promise<DemoStep> {
  const since = Date.now();
  const idempotencyKey = newIdempotencyKey();
  return follow(run, { build: await requestBuild(run.client, workspace, { build: request, idempotencyKey }), since });
}

async function follow(
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

/** The template goes too, unless somebody has made a workspace of it meanwhile. */
async function removeTemplate({ client, output }: DemoRun): Promise<void> {
  const template = await findTemplate(client, 'default', templateName);
  if (template === undefined) return;
  await client.request(`/api/v2/templates/${template.id}`, { method: 'DELETE' }).catch((err: unknown) => {
    if (!isStatus(err, 400)) throw err;
    output.say(`  the template ${templateName} stays: ${err.detail ?? err.message}`);
  });
}

/** After a failure: asks for the deletion of what this and earlier demos have left, and waits a moment for it. */
export async function clearAway({ client, output }: DemoRun): Promise<void> {
  try {
    const q = encodeURIComponent(`owner:me template:${templateName} name:${namePrefix}`);
    const { workspaces } = await client.get<{ workspaces: Workspace[] }>(`/api/v2/workspaces?q=${q}`);
    for (const workspace of workspaces) {
      const idempotencyKey = newIdempotencyKey();
      const request = { build: { transition: 'delete' }, idempotencyKey } as const;
      const deletion = await requestBuild(client, workspace, request);
      await followJob(client, output, {
        title: `clear away ${workspace.name}`,
        path: buildLogPath(deletion.id),
        read: () => getBuild(client, deletion.id),
        signal: AbortSignal.timeout(60_000),
        shows: () => false,
      });
    }
  } catch (err) {
    output.say(
      `  what the demo has made could not be cleared away: ${err instanceof Error ? err.message : String(err)}`,
    );
  }
}
