import { calibrate } from '../calibration.ts';
import type { Foundation } from '../context.ts';
import { playRound } from '../round.ts';
import type { Scenario, Strike } from '../scenario.ts';
import type { FleetOptions } from '../stack/fleet.ts';

/**
 * One of each, shared by the scenarios that need nothing special. Its slots are the builds that one fault strikes: more would
 * only wait for the two cores of our machine.
 */
export const usualFleet: FleetOptions = { slots: 6 };

/** A scenario of rounds: as many builds as the host has slots, one fault, at moments that the seed draws. */
export function strikeScenario(
  facts: Pick<Scenario, 'name' | 'remark'> & Partial<Pick<Scenario, 'fleet' | 'begin'>> & { readonly strike: Strike },
): Scenario {
  const { strike, ...special } = facts;
  return {
    fleet: usualFleet,
    begin: addUsualHost,
    ...special,
    async play(context, { runs, seed, onRuns, times: known }) {
      const { slots } = context.fleet;
      const times = known ?? (await calibrate(context, Math.min(slots, usualFleet.slots, runs)));
      const usual = Object.entries(times).map(([transition, ms]) => `${transition} ${(ms / 1000).toFixed(1)} s`);
      console.error(`  a build usually takes: ${usual.join(', ')}`);
      for (let done = 0, round = 0; done < runs; round += 1) {
        const size = Math.min(slots, runs - done);
        await onRuns(await playRound(context, strike, { seed: seed + round, size, times }));
        done += size;
      }
    },
  };
}

/** One host with one worker. */
export async function addUsualHost({ fleet, hosts }: Foundation): Promise<void> {
  hosts.push(await fleet.addHost({ name: 'host' }));
}
