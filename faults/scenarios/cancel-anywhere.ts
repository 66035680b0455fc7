import { join } from 'node:path';
import { eventually } from '../patience.ts';
import { processesBelow } from '../process-table.ts';
import type { Finding } from '../oracle.ts';
import type { Run } from '../run.ts';
import type { Accepted } from '../scenario.ts';
import { strikeScenario } from './strike-scenario.ts';

/** Statuses of the cancel requests. */
const answers = new WeakMap<Run, number>();
const groupGoneWithinMs = 2_000;

/** A cancel that was accepted ends the build as canceled; one that came too late is refused. Nobody runs on afterwards. */
export const cancelAnywhere = strikeScenario({
  name: 'cancel-anywhere',
  strike: {
    recovery: 'over',
    expected: ['canceled', 'succeeded'],
    async strike({ context, accepted }) {
      const cancel = async ({ run, build }: Accepted): Promise<void> => {
        const { status } = await context.api.request('PATCH', `/workspacebuilds/${build.id}/cancel`);
        answers.set(run, status);
        run.notes.push(`the cancel was answered with ${status}`);
      };
      await Promise.all((await accepted()).map(cancel));
    },
    async inspect({ context }, { run, build, row }): Promise<Finding[]> {
      const findings: Finding[] = [];
      const wanted = { 200: 'canceled', 400: 'succeeded' }[answers.get(run) ?? 0];
      if (row.status !== wanted)
        findings.push({ kind: 'wrong', what: `cancel answered ${answers.get(run)}, the build is ${row.status}` });
      const left = () => context.hosts.flatMap(({ workRoot }) => processesBelow(join(workRoot, build.jobId)));
      const gone = await eventually(() => left().length === 0, { boundMs: groupGoneWithinMs, everyMs: 50 });
      if (gone === undefined) findings.push({ kind: 'stuck', what: 'processes of the canceled build run on' });
      return findings;
    },
  },
});
