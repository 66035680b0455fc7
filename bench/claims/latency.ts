import { report, timed } from '../report.ts';
import type { ClaimBed, Pool } from './bed.ts';
import { reportQuantiles } from './figures.ts';

/** Code is compiled and statements are planned on every connection of the pool by then. */
const warmUps = 60;

/** One claim after the other: with the agent handed over, without, and the bare one, in turns. */
export async function measureLatency(bed: ClaimBed, runs: number): Promise<void> {
  const ready = runs + warmUps;
  const pure = await bed.fill({ ready, pure: true });
  const ordinary = await bed.fill({ ready, pure: false });
  const samples = { pure: [] as number[], ordinary: [] as number[], bare: [] as number[] };
  for (let index = 0; index < ready; index += 1) {
    const times = {
      bare: await timed(pure.claimBare),
      pure: await timed(pure.claim),
      ordinary: await timed(ordinary.claim),
    };
    if (index < warmUps) continue;
    for (const name of ['pure', 'ordinary', 'bare'] as const) samples[name].push(times[name]);
  }
  reportQuantiles('claim', { ours: samples.pure, bare: samples.bare }, ['p50', 'p99']);
  reportQuantiles('claim_not_handed_over', { ours: samples.ordinary, bare: samples.bare }, ['p50', 'p99']);
}

interface Burst {
  readonly wallMs: number;
  readonly calls: readonly number[];
}

/** As many claims at once as there are prebuilds; throws when two got the same one, or one got another. */
async function burst(bed: ClaimBed, pool: Pool, { size, bare }: { size: number; bare: boolean }): Promise<Burst> {
  const given = bare
    ? []
    : (await bed.sql<{ id: string }[]>`select id from workspaces where template_id = ${pool.templateId}`).map(
        ({ id }) => id,
      );
  const calls: number[] = [];
  const got: string[] = [];
  const one = async () => {
    const began = performance.now();
    got.push(await (bare ? pool.claimBare() : pool.claim()));
    calls.push(performance.now() - began);
  };
  const wallMs = await timed(() => Promise.all(Array.from({ length: size }, one)));
  if (new Set(got).size !== size) throw new Error(`${size} claims got ${new Set(got).size} workspaces`);
  if (!bare && got.some((id) => !given.includes(id))) throw new Error('a claim did not take one of the pool');
  return { wallMs, calls };
}

/** Bursts on a pool that has just enough, and on the bare table, in turns; the worst of the rounds counts for the wall time. */
export async function measureBursts(bed: ClaimBed, options: { size: number; rounds: number }): Promise<void> {
  const { size, rounds } = options;
  const all = { ours: [] as Burst[], bare: [] as Burst[] };
  for (let round = 0; round < rounds; round += 1) {
    const pool = await bed.fill({ ready: size, pure: true });
    all.bare.push(await burst(bed, pool, { size, bare: true }));
    all.ours.push(await burst(bed, pool, { size, bare: false }));
    console.error(`burst of ${size}: ${all.ours.at(-1)!.wallMs.toFixed(0)} ms`);
  }
  const wall = (of: readonly Burst[]) => Math.max(...of.map(({ wallMs }) => wallMs));
  report({
    bench: 'claim',
    metric: `burst${size}_wall`,
    ours: wall(all.ours),
    baseline: wall(all.bare),
    n: rounds,
    unit: 'ms',
  });
  const calls = (of: readonly Burst[]) => of.flatMap((each) => each.calls);
  reportQuantiles(`burst${size}_call`, { ours: calls(all.ours), bare: calls(all.bare) }, ['p50', 'p99']);
}
