import { execFile } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { withThrowawayStack } from '../scripts/stack/throwaway.ts';
import { type Transition, build, createBenchWorkspace, importBenchTemplate, transitionOf } from './builds.ts';
import { type RawTerraform, applyArgs, prepareRawTerraform } from './raw-terraform.ts';
import { report, timed } from './report.ts';
import { apiOf } from './stack.ts';

const callers = 16;
const rounds = 3;

/**
 * Builds per second with 16 callers at once, each with a workspace of its own, against as many raw applies by `xargs -P` with
 * one process per core; in turns, so that both meet the same machine.
 */
export async function benchThroughput({ runs = 96 }: { runs: number | undefined }): Promise<void> {
  const each = Math.max(1, Math.round(runs / callers / rounds));
  await withThrowawayStack(async (stack) => {
    const api = apiOf(stack);
    const templateId = await importBenchTemplate(api);
    const raw = await prepareRawTerraform();
    try {
      const workspaces: string[] = [];
      const directories: string[] = [];
      for (let caller = 0; caller < callers; caller += 1) {
        workspaces.push(await createBenchWorkspace(api, templateId, `bench-${caller}`));
        directories.push(await raw.directory(`bench-${caller}`));
      }
      const ms = { ours: 0, raw: 0 };
      for (let round = 0; round < rounds; round += 1) {
        const indexes = Array.from({ length: each }, (_, index) => round * each + index);
        ms.ours += await timed(() =>
          Promise.all(
            workspaces.map(async (id) => {
              for (const index of indexes) await build(api, id, transitionOf(index));
            }),
          ),
        );
        const applies = indexes.flatMap((index) => directories.map((path) => [path, transitionOf(index)] as const));
        ms.raw += await timed(() => xargs(raw, applies));
        console.error(`round ${round + 1}/${rounds}`);
      }
      const n = callers * each * rounds;
      const perSecond = (total: number): number => n / (total / 1_000);
      const [ours, baseline] = [perSecond(ms.ours), perSecond(ms.raw)];
      report({ bench: 'throughput', metric: 'builds_per_second', ours, baseline, n, unit: '1/s' });
    } finally {
      raw.remove();
    }
  });
}

/** Runs the applies in order, one process per core at a time; those of one directory are far enough apart. */
async function xargs(raw: RawTerraform, applies: readonly (readonly [string, Transition])[]): Promise<void> {
  const list = join(tmpdir(), `berth-xargs-${process.pid}`);
  writeFileSync(list, applies.flat().join('\n'));
  const command = `cd "$1" && CODER_WORKSPACE_TRANSITION=$2 exec "${raw.binary}" ${applyArgs.join(' ')} > /dev/null`;
  const args = ['-a', list, '-P', String(availableParallelism()), '-n', '2', 'sh', '-c', command, 'sh'];
  await promisify(execFile)('xargs', args, { env: raw.env('start'), maxBuffer: 64 * 1024 * 1024 });
  rmSync(list);
}
