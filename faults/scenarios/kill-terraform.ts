import { signalAll, terraformOf } from '../process-table.ts';
import { strikeScenario } from './strike-scenario.ts';

/** Terraform itself is killed, in whatever it is doing; providers and provisioners are left to whoever supervises it. */
export const killTerraform = strikeScenario({
  name: 'kill-terraform',
  strike: {
    expected: ['succeeded'],
    async strike(round) {
      for (const { run, build } of round.acceptedYet()) {
        for (const { workRoot } of round.context.hosts) {
          const terraform = terraformOf(workRoot, build.jobId);
          if (terraform === undefined) continue;
          signalAll([terraform], 'SIGKILL');
          run.notes.push(`killed terraform ${terraform.pid} at ${new Date().toISOString()}`);
        }
      }
    },
  },
});
