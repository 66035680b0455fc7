import { terraformsOf } from '../oracle.ts';
import { strikeScenario } from './strike-scenario.ts';

/** The provisioner worker is killed and started again at once. Terraform must neither notice nor run twice. */
export const killWorker = strikeScenario({
  name: 'kill-worker',
  strike: {
    expected: ['succeeded'],
    async strike({ context }) {
      for (const worker of context.hosts.flatMap(({ workers }) => workers)) {
        await worker.end('SIGKILL');
        await worker.start();
      }
    },
    async inspect({ context }, { run, build }) {
      const terraforms = terraformsOf(context.stack.ledger.effectsOf(run.workspaceId), build.id);
      if (terraforms.length < 2) return [];
      return [{ kind: 'double_apply', what: `effects of several Terraforms in one build: ${terraforms.join(', ')}` }];
    },
  },
});
