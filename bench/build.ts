import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { withThrowawayStack } from '../scripts/stack/throwaway.ts';
import { type Transition, build, createBenchWorkspace, importBenchTemplate, transitionOf } from './builds.ts';
import { startFloor } from './floor.ts';
import { type RawTerraform, applyArgs, prepareRawTerraform } from './raw-terraform.ts';
import { quantile, report, timed } from './report.ts';
import { apiOf } from './stack.ts';

/** Long-lived processes are measured warm: their code is compiled and their statements are planned by then. */
const warmUps = 10;

/**
 * (a) POST → succeeded, (b) one `terraform apply` in a prepared directory, (c) init + plan + show + graph + apply + show,
 * (d) a workflow with one no-op activity on the same server; interleaved, same template, alternating start and stop.
 */
export async function benchBuild({ runs = 20 }: { runs: number | undefined }): Promise<void> {
  await withThrowawayStack(async (stack) => {
    const api = apiOf(stack);
    const workspaceId = await createBenchWorkspace(api, await importBenchTemplate(api), 'bench');
    const raw = await prepareRawTerraform();
    const prepared = await raw.directory('prepared');
    const full = await raw.directory('chain');
    const floor = await startFloor(stack.urls.temporalAddress, stack.urls.temporalNamespace);
    const samples = { ours: [] as number[], apply: [] as number[], chain: [] as number[], floor: [] as number[] };
    try {
      for (let index = 0; index < runs + warmUps; index += 1) {
        const transition = transitionOf(index);
        const times = {
          ours: await timed(() => build(api, workspaceId, transition)),
          apply: await timed(() => raw.terraform(prepared, transition, applyArgs)),
          chain: await timed(() => fullChain(raw, full, transition)),
          floor: await timed(() => floor.run(index)),
        };
        if (index < warmUps) continue;
        for (const name of ['ours', 'apply', 'chain', 'floor'] as const) samples[name].push(times[name]);
        console.error(`run ${index + 1 - warmUps}/${runs}`);
      }
    } finally {
      await floor.stop();
      raw.remove();
    }
    for (const [name, q] of [
      ['p50', 0.5],
      ['p90', 0.9],
    ] as const) {
      const at = (sample: readonly number[]) => quantile(sample, q);
      const ours = at(samples.ours);
      const figure = (metric: string, value: number, baseline: number) =>
        report({ bench: 'build', metric: `${metric}_${name}`, ours: value, baseline, n: runs, unit: 'ms' });
      figure('wall_over_raw_apply', ours, at(samples.apply));
      figure('wall_over_raw_chain', ours, at(samples.chain));
      figure('added_over_temporal_floor', ours - at(samples.apply), at(samples.floor));
    }
  });
}

/** What a provisioner usually runs for a build. */
async function fullChain(raw: RawTerraform, cwd: string, transition: Transition): Promise<void> {
  rmSync(join(cwd, '.terraform'), { recursive: true, force: true });
  for (const args of [
    ['init', '-no-color', '-input=false', '-json'],
    ['plan', '-no-color', '-input=false', '-json', '-out=plan'],
    ['show', '-json', 'plan'],
    ['graph'],
    ['apply', '-no-color', '-input=false', '-auto-approve', '-json', 'plan'],
    ['show', '-json'],
  ])
    await raw.terraform(cwd, transition, args);
}
