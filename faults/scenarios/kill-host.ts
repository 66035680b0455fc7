import { rmSync } from 'node:fs';
import type { Context } from '../context.ts';
import { cutPower, processesOfHost } from '../process-table.ts';
import type { Round } from '../scenario.ts';
import { shortLeases, shortLeasesRemark } from '../short-leases.ts';
import { addUsualHost, strikeScenario, usualFleet } from './strike-scenario.ts';

/** Every fourth round, by the seed: the others come back with their disk. */
const shareOfLostDisks = 0.25;

/**
 * Worker, shims, Terraform and all it started stop at the same instant. The host comes back with its work root; or it never
 * does, and another one, which has nothing but the database, has to go on.
 */
export const killHost = strikeScenario({
  name: 'kill-host',
  fleet: { slots: usualFleet.slots, settings: shortLeases },
  remark: `${shortLeasesRemark}; in a quarter of the rounds another host goes on`,
  strike: {
    expected: ['succeeded'],
    async strike({ context, random, acceptedYet }: Round) {
      const disksLost = random.next() < shareOfLostDisks;
      const [host] = context.hosts;
      const [worker] = host!.workers;
      await worker!.end(() => cutPower(() => processesOfHost(host!.workRoot, worker!.pid())));
      for (const { run } of acceptedYet())
        run.notes.push(disksLost ? 'the host was lost for ever' : 'the host came back');
      if (disksLost) await replaceHost(context);
      else await worker!.start();
    },
  },
});

async function replaceHost(context: Context): Promise<void> {
  const [lost] = context.hosts;
  rmSync(lost!.workRoot, { recursive: true, force: true });
  context.hosts.length = 0;
  await addUsualHost(context);
}
