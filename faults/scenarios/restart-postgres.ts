import { setTimeout as delay } from 'node:timers/promises';
import { strikeScenario } from './strike-scenario.ts';

const longestAbsenceMs = 5_000;

/** PostgreSQL is killed and comes back after a while; requests meanwhile are accepted later, or refused with 503. */
export const restartPostgres = strikeScenario({
  name: 'restart-postgres',
  strike: {
    momentFrom: -0.25,
    allowedAnswers: [503],
    expected: ['succeeded'],
    async strike({ context, random }) {
      const { postgres } = context.stack.services;
      await postgres.kill();
      await delay(random.between(0, longestAbsenceMs));
      await postgres.start();
    },
  },
});
