import { newIdempotencyKey } from '../../cli/client.ts';
import { duration } from '../../cli/format.ts';
import { findTemplate } from '../../cli/templates.ts';
import type { Preset, PrebuildPools, Workspace } from '../../cli/types.ts';
import { createWorkspace } from '../../cli/workspaces.ts';
import { waitUntilReady } from './agent.ts';
import { DemoFailure } from './checks.ts';
import { type DemoRun, type DemoStep, follow, templateName } from './steps.ts';

/** Agents of two prebuilds, one after the other, on a small machine. */
const poolWithinMs = 120_000;
const goneWithinMs = 60_000;
const lookEveryMs = 100;

/** Asks until `probe` says that it is so. Throws DemoFailure when it takes too long or is interrupted. */
async function until(run: DemoRun, what: string, withinMs: number, probe: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!(await probe())) {
    if (run.signal.aborted) throw new DemoFailure(`interrupted while waiting for ${what}`);
    if (Date.now() > deadline) throw new DemoFailure(`${what} took longer than ${duration(withinMs)}`);
    await new Promise((done) => setTimeout(done, lookEveryMs));
  }
}

/** Shows how the pool fills, until so many prebuilds are ready to be claimed. */
export async function poolIsReady(run: DemoRun, size: number): Promise<void> {
  let said = '';
  await until(run, 'the pool', poolWithinMs, async () => {
    const { pools } = await run.client.get<PrebuildPools>('/api/v2/prebuilds');
    const pool = pools.find((each) => each.template_name === templateName && each.desired > 0);
    if (pool === undefined) return false;
    const state = `pool ${pool.preset_name}: ${pool.eligible} of ${pool.desired} ready, ${pool.starting} being made`;
    if (state !== said) run.output.say(`  ${state}`);
    said = state;
    if (pool.status !== 'normal' || pool.failed > 0)
      throw new DemoFailure(`the pool is not as it should be: ${pool.status} ${pool.status_detail}`);
    return pool.eligible === size && pool.starting === 0;
  });
}

/** Claims a prebuild of the pool and waits until its agent runs for the new owner. */
export async function claimOne(run: DemoRun, name: string): Promise<{ step: DemoStep; workspace: Workspace }> {
  const { client, output } = run;
  const template = await findTemplate(client, 'default', templateName);
  const presets = await client.get<Preset[]>(`/api/v2/templateversions/${template?.active_version_id ?? ''}/presets`);
  const preset = presets.find(({ DesiredPrebuildInstances: instances }) => (instances ?? 0) > 0);
  if (template === undefined || preset === undefined) throw new DemoFailure('the template has no preset with a pool');
  const since = Date.now();
  const created = await createWorkspace(
    client,
    { name, template_id: template.id, template_version_preset_id: preset.ID, rich_parameter_values: [] },
    { idempotencyKey: newIdempotencyKey() },
  );
  if (created.claimed_at === null) throw new DemoFailure('no prebuild was claimed although the pool was full');
  output.say(`✔ ${name} was claimed from the pool in ${duration(Date.now() - since)}`);
  // While Terraform runs behind it.
  const [step] = await Promise.all([
    follow(run, { build: created.latest_build, since }),
    waitUntilReady(run, created).then(() =>
      output.say(`✔ its agent runs for its new owner, ${duration(Date.now() - since)} after the claim`),
    ),
  ]);
  return { step, workspace: await client.get<Workspace>(`/api/v2/workspaces/${created.id}`) };
}

/** Ids of what the pool has. */
export async function listReserve({ client }: DemoRun): Promise<string[]> {
  const q = encodeURIComponent(`owner:prebuilds template:${templateName}`);
  const { workspaces } = await client.get<{ workspaces: Workspace[] }>(`/api/v2/workspaces?q=${q}`);
  return workspaces.map(({ id }) => id);
}

/** Waits until the reconciler has deleted what a template that is gone has left. */
export const reserveIsGone = (run: DemoRun, ids: readonly string[]): Promise<void> =>
  until(run, 'the deletion of the pool', goneWithinMs, async () => {
    const found = await Promise.all(ids.map((id) => run.client.find(`/api/v2/workspaces/${id}`)));
    return found.every((workspace) => workspace === undefined);
  });
