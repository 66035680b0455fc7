import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { newIdempotencyKey } from '../../cli/client.ts';
import { workspaceText } from '../../cli/commands/workspace-text.ts';
import { isStatus } from '../../cli/errors.ts';
import { followJob } from '../../cli/follow-job.ts';
import { findTemplate } from '../../cli/templates.ts';
import type { ParameterValue, Workspace } from '../../cli/types.ts';
import { buildLogPath, createWorkspace, getBuild, requestBuild } from '../../cli/workspaces.ts';
import { checkDrained, followAgent } from './agent.ts';
import { checkGone, checkStarted, checkStopped } from './checks.ts';
import { claimOne, listReserve, poolIsReady, reserveIsGone } from './pool.ts';
import { type DemoRun, type DemoStep, build, follow, push, templateName } from './steps.ts';

export interface DemoReport {
  readonly steps: readonly DemoStep[];
  readonly totalMs: number;
}

const namePrefix = 'demo-';

/** The main job through the CLI's own modules. Throws CliError or DemoFailure at the first thing that is not as promised. */
export async function runDemo(run: DemoRun): Promise<DemoReport> {
  const { client, output } = run;
  const began = Date.now();
  const steps: DemoStep[] = [];
  const section = (text: string): void => output.say(`\n${output.colors.bold(text)}`);

  section('1. Push a template version and import it with Terraform');
  // The demo counts what it has made; a reserve would be made beside it.
  steps.push(await push(run, 0));

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

  section('8. Keep two ready');
  steps.push(await push(run, 2));
  await poolIsReady(run, 2);

  section('9. Claim one');
  const claimed = await claimOne(run, `${namePrefix}${randomBytes(3).toString('hex')}`);
  steps.push(claimed.step);

  section('10. The pool is filled again');
  await poolIsReady(run, 2);

  section('11. Delete the workspace and the pool');
  steps.push(await build(run, claimed.workspace, { transition: 'delete' }));
  const reserve = await listReserve(run);
  await removeTemplate(run);
  await reserveIsGone(run, reserve);
  output.say('✔ the template is gone, and so is what it kept in reserve');
  return { steps, totalMs: Date.now() - began };
}

/** The template goes too, unless somebody has made a workspace of it meanwhile. */
async function removeTemplate({ client, output }: Pick<DemoRun, 'client' | 'output'>): Promise<void> {
  const template = await findTemplate(client, 'default', templateName);
  if (template === undefined) return;
  await client.request(`/api/v2/templates/${template.id}`, { method: 'DELETE' }).catch((err: unknown) => {
    if (!isStatus(err, 400)) throw err;
    output.say(`  the template ${templateName} stays: ${err.detail ?? err.message}`);
  });
}

/** After a failure: asks for the deletion of what this and earlier demos have left, and waits a moment for it. */
export async function clearAway({ client, output }: Pick<DemoRun, 'client' | 'output'>): Promise<void> {
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
    await removeTemplate({ client, output });
  } catch (err) {
    output.say(
      `  what the demo has made could not be cleared away: ${err instanceof Error ? err.message : String(err)}`,
    );
  }
}
