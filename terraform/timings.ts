import type { JobTiming } from '../domain/provisioned.ts';
import { type JsonObject, objectAt, textAt } from './json.ts';

export type TerraformStage = JobTiming['stage'];
type Family = 'apply' | 'provision' | 'refresh';

interface Operation {
  readonly family: Family;
  readonly action: string;
  readonly address: string;
  readonly source: string;
}

const kinds = /^(apply|provision|refresh)_(start|complete|errored)$/;

/** A refresh has no action of its own, a provisioner's is that it provisions (spec/02 §5.3). */
const actionOf = (family: Family, hook: JsonObject): string =>
  family === 'refresh' ? 'state refresh' : family === 'provision' ? 'provision' : textAt(hook, 'action');

/** An instant of Terraform's own clock; null for a missing, a zero (year 1, epoch) or an unreadable one. */
export function instantOf(text: unknown): Date | null {
  if (typeof text !== 'string') return null;
  const at = new Date(text);
  return at.getTime() > 0 ? at : null;
}

/** Pairs the start and end events of one command; the last pair of a key counts, an unpaired start gives no row. */
export function createTimingPairs(stage: TerraformStage) {
  const started = new Map<string, { operation: Operation; at: Date | null }>();
  const rows = new Map<string, JobTiming>();
  return {
    push(type: string, hook: JsonObject, at: Date | null): void {
      const match = kinds.exec(type);
      if (!match) return;
      const family = match[1] as Family;
      const resource = objectAt(hook, 'resource');
      const operation: Operation = {
        family,
        action: actionOf(family, hook),
        address: textAt(resource, 'addr'),
        source: textAt(resource, 'implied_provider'),
      };
      const key = JSON.stringify(operation);
      if (match[2] === 'start') {
        started.set(key, { operation, at });
        return;
      }
      const start = started.get(key);
      started.delete(key);
      if (!start?.at || at === null) return;
      const { address: row, action, source } = operation;
      rows.set(key, { stage, source, action, resource: row, ...ordered(start.at, at) });
    },
    rows: (): JobTiming[] => [...rows.values()],
  };
}

/** Clocks may step: a row never ends before it starts. */
export const ordered = (startedAt: Date, endedAt: Date): { startedAt: Date; endedAt: Date } => ({
  startedAt: startedAt > endedAt ? endedAt : startedAt,
  endedAt,
});
