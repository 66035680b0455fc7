import { expect } from 'vitest';
import { type BuildTimes, calibrate } from '../../../faults/calibration.ts';
import { playOn } from '../../../faults/play.ts';
import type { Scenario } from '../../../faults/scenario.ts';
import { type Stack, startStack } from '../../../faults/stack/stack.ts';
import { type OpenStage, openStage } from '../../../faults/stage.ts';

/** The short version of the fault suite: the same code, few runs, a fixed seed each, one stack for a whole file. */
export interface ShortPlays {
  /** Plays the scenario and expects that nothing at all was wrong. */
  holds(scenario: Scenario, order: { runs: number; seed: number }): Promise<void>;
  stop(): Promise<void>;
}

/** Shorter than in the suite itself: a job that is stuck must not cost a test run three minutes. */
const boundMs = 90_000;

/**
 * `first` is the scenario whose processes also make the undisturbed builds that tell how long a build takes, unless that is
 * `known`.
 */
export async function startShortPlays(first: Scenario, known?: BuildTimes): Promise<ShortPlays> {
  const stack: Stack = await startStack();
  let stage: OpenStage | undefined;
  const stageFor = async (scenario: Scenario): Promise<OpenStage> => {
    if (stage?.fits(scenario) === true) return stage;
    await stage?.close();
    stage = undefined;
    return (stage = await openStage(stack, scenario));
  };
  const times = known ?? (await calibrate({ ...(await stageFor(first)), scenario: 'calm', boundMs }, 1));
  return {
    async holds(scenario, { runs, seed }) {
      const order = { runs, seed, boundMs, times };
      const { p95_recovery_ms: _, reinits, ...tally } = await playOn(await stageFor(scenario), scenario, order);
      const { name } = scenario;
      const nothing = { lost: 0, orphans: 0, double_applies: 0, stuck: 0, duplicates: 0, two_owners: 0 };
      expect(tally).toEqual({ scenario: name, runs, ok: runs, ...nothing });
      expect([null, runs]).toContain(reinits);
    },
    stop: () => stack.stop(),
  };
}
