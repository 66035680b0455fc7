import type { Context } from '../context.ts';
import { lifecycleFleet, lifecycleRemark } from '../lifecycle-fleet.ts';
import { type Ticks, watchTicks } from '../lifecycle-ticks.ts';
import { type Random, createRandom } from '../random.ts';
import type { Run } from '../run.ts';
import type { Scenario } from '../scenario.ts';
import { addUsualHost } from './strike-scenario.ts';

export interface StormOrder {
  readonly ticks: Ticks;
  readonly random: Random;
  readonly seed: number;
  /** Workspaces of a storm: as many as it is to have, or few where the whole play is to be short. */
  readonly sizeOf: (usual: number) => number;
}

/** Three batches. */
const shortSize = 75;

/** A scenario of storms, one after the other; each is a run. */
export const stormScenario = ({
  playRound,
  ...facts
}: Pick<Scenario, 'name'> &
  Partial<Pick<Scenario, 'fleet'>> & {
    readonly playRound: (context: Context, order: StormOrder) => Promise<Run>;
  }): Scenario => ({
  fleet: lifecycleFleet,
  remark: lifecycleRemark,
  begin: addUsualHost,
  ...facts,
  async play(context, { runs, seed: first, onRuns, times }) {
    const ticks = await watchTicks(context);
    const sizeOf = (usual: number) => (times === undefined ? usual : Math.min(usual, shortSize));
    try {
      for (let seed = first; seed < first + runs; seed += 1)
        await onRuns([await playRound(context, { ticks, random: createRandom(seed), seed, sizeOf })]);
    } finally {
      await ticks.close();
    }
  },
});
