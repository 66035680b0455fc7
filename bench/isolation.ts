import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { withThrowawayStack } from '../scripts/stack/throwaway.ts';
import { type Build, build, createBenchWorkspace, importBenchTemplate, transitionOf } from './builds.ts';
import { quantile, report, timed } from './report.ts';
import { type Api, apiOf } from './stack.ts';

/** Builds that are measured beside each neighbour, and without one before. */
const buildsEach = 4;

const neighbours = [
  { name: 'endless-log', metric: 'build_beside_endless_log', endsAs: 'canceled' },
  { name: 'fork-bomb', metric: 'build_beside_fork_bomb', endsAs: 'failed' },
] as const;

/**
 * What a build takes while another one on the same provisioner prints without end, or is a fork bomb that its limit kills,
 * against the same build alone; in turns.
 */
export async function benchIsolation({ runs = 24 }: { runs: number | undefined }): Promise<void> {
  await withThrowawayStack(async (stack) => {
    const api = apiOf(stack);
    const workspaceId = await createBenchWorkspace(api, await importBenchTemplate(api), 'bench');
    let index = 0;
    const several = async (): Promise<number[]> => {
      const times: number[] = [];
      for (let n = 0; n < buildsEach; n += 1)
        times.push(await timed(() => build(api, workspaceId, transitionOf(index++))));
      return times;
    };
    await several();
    for (const { name, metric, endsAs } of neighbours) {
      const directory = fileURLToPath(new URL(`./neighbours/${name}`, import.meta.url));
      const templateId = await importBenchTemplate(api, { name, directory });
      const [alone, beside]: [number[], number[]] = [[], []];
      for (let round = 0; round < Math.ceil(runs / buildsEach); round += 1) {
        alone.push(...(await several()));
        const neighbour = await begin(api, templateId, `${name}-${round}`);
        beside.push(...(await several()));
        await end(api, neighbour, endsAs);
        console.error(`${name}: round ${round + 1}`);
      }
      // The worst one is the first: the neighbour has just begun, and nobody has seen yet what it is.
      for (const [which, q] of [
        ['p50', 0.5],
        ['max', 1],
      ] as const) {
        const [ours, baseline] = [quantile(beside, q), quantile(alone, q)];
        report({ bench: 'isolation', metric: `${metric}_${which}`, ours, baseline, n: beside.length, unit: 'ms' });
      }
    }
  });
}

/** Resolves when the build makes its noise. */
async function begin(api: Api, templateId: string, name: string): Promise<string> {
  const body = { name, template_id: templateId };
  const { latest_build: made } = await api.post<{ latest_build: Build }>('/users/me/workspaces', body);
  const logs = () => api.get<{ output: string }[]>(`/workspacebuilds/${made.id}/logs`);
  for (let tries = 0; !(await logs()).some(({ output }) => output.includes('(local-exec): ')); tries += 1) {
    if (tries > 600) throw new Error(`the build of ${name} makes no noise`);
    await delay(50);
  }
  return made.id;
}

async function end(api: Api, buildId: string, endsAs: string): Promise<void> {
  if (endsAs === 'canceled') await api.patch(`/workspacebuilds/${buildId}/cancel`);
  await api.follow(`/workspacebuilds/${buildId}/logs?after=1000000000`);
  const { job } = await api.get<Build>(`/workspacebuilds/${buildId}`);
  if (job.status !== endsAs) throw new Error(`the neighbour ended as ${job.status}: ${job.error ?? ''}`);
}
