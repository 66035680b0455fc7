import { setTimeout as delay } from 'node:timers/promises';
import { strikeScenario } from './strike-scenario.ts';

const longestAbsenceMs = 5_000;

/** Temporal is killed and comes back with its file; requests are accepted all the while. */
export const killTemporal = strikeScenario({
  name: 'kill-temporal',
  strike: {
    momentFrom: -0.25,
    expected: ['succeeded'],
    async strike({ context, random }) {
      const { temporal } = context.stack.services;
      await temporal.kill();
      await delay(random.between(0, longestAbsenceMs));
      await temporal.start();
    },
  },
});
