import { setTimeout as delay } from 'node:timers/promises';
import type { Context } from './context.ts';
import type { Random } from './random.ts';
import type { BerthProcess } from './stack/berth-process.ts';

/** Whom a fault of the pools' scenarios strikes: kill -9, and started again. */
export type Victim = 'api' | 'control' | 'provisioner' | 'postgres';
/** Shares that add up to 1. */
export type Shares = Readonly<Record<Victim, number>>;

const longestAbsenceMs = 3_000;

export function drawVictim(random: Random, shares: Shares): Victim {
  let left = random.next();
  for (const [victim, share] of Object.entries(shares)) if ((left -= share) < 0) return victim as Victim;
  return 'control';
}

/** Resolves when it is started again; it may not serve yet. */
export async function strikeDown({ fleet, hosts, stack }: Context, random: Random, victim: Victim): Promise<void> {
  const absenceMs = random.between(0, longestAbsenceMs);
  const restart = async (processes: readonly BerthProcess[]) => {
    for (const each of processes) {
      await each.end('SIGKILL');
      await each.start();
    }
  };
  switch (victim) {
    case 'api':
      return restart(fleet.apis);
    case 'control':
      return restart(fleet.controls);
    case 'provisioner':
      return restart(hosts.flatMap(({ workers }) => workers));
    case 'postgres':
      await stack.services.postgres.kill();
      await delay(absenceMs);
      return stack.services.postgres.start();
  }
}
