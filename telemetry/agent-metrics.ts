import { Gauge } from 'prom-client';
import {
  type AgentPlaceLabel,
  type ReportedMetric,
  agentPlaceLabels,
  metricLabels,
  metricName,
} from '../domain/agent-metrics.ts';
import type { Logger } from './logger.ts';
import type { Metrics } from './metrics.ts';
import { createSnapshot } from './snapshot.ts';

/** An agent that reports no longer is not shown any longer. */
const shownMs = 120_000;
const statusesKeptMs = 15_000;
const limits = { agents: 10_000, families: 1_000, seriesPerFamily: 10_000, series: 100_000, perAgent: 200 } as const;

export type AgentPlace = Readonly<Record<AgentPlaceLabel, string>>;

export interface AgentMetricsDeps {
  readonly metrics: Pick<Metrics, 'registry' | 'snapshotFailed' | 'seriesDropped'>;
  readonly logger: Logger;
  /** Whether what agents report is shown at all: it carries the names of users and workspaces. */
  readonly collect: boolean;
  /** Which of our labels it keeps. */
  readonly aggregateBy: readonly AgentPlaceLabel[];
  /** Names of these agents; those that are gone are left out. */
  readonly readPlaces: (agentIds: readonly string[]) => Promise<Map<string, AgentPlace>>;
  readonly readStatuses: () => Promise<readonly { status: string; lifecycleState: string; count: number }[]>;
  now(): Date;
}

export interface AgentMetrics {
  /** Replaces what this agent reported before. */
  take(agentId: string, reported: readonly ReportedMetric[]): void;
}

interface Series {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}
interface Family {
  readonly type: ReportedMetric['type'];
  /** By agent. */
  readonly reports: Map<string, readonly Series[]>;
  series: number;
}

/**
 * The last report of each agent's own metrics, shown under the agent's names and with those of its workspace. Families come and
 * go with the agents that report them; a name has the type that was reported first. Source: spec/05 §9.
 */
export function createAgentMetrics(deps: AgentMetricsDeps): AgentMetrics {
  const { metrics, logger, now } = deps;
  const { registry } = metrics;
  /** In the order of their last report. */
  const agents = new Map<string, { readonly at: number; readonly names: readonly string[] }>();
  const families = new Map<string, Family>();
  let total = 0;
  const failed = (snapshot: string) => (err: unknown) => {
    metrics.snapshotFailed(snapshot);
    logger.warn({ err, snapshot }, 'metrics were not read from the database');
  };
  // Always asked anew, once per scrape: all families of a page wait for the same answer.
  const places = createSnapshot({
    read: async () => deps.readPlaces([...agents.keys()]),
    maxAgeMs: 0,
    now,
    onFailed: failed('agent_names'),
  });
  agentStatuses(deps, failed('agents_status'));

  const forget = (agentId: string): readonly string[] => {
    const names = agents.get(agentId)?.names ?? [];
    agents.delete(agentId);
    for (const name of names) {
      const family = families.get(name);
      const count = family?.reports.get(agentId)?.length ?? 0;
      family?.reports.delete(agentId);
      if (family !== undefined) family.series -= count;
      total -= count;
    }
    return names;
  };
  const removeEmpty = (names: readonly string[]) => {
    for (const name of names)
      if (families.get(name)?.reports.size === 0) {
        families.delete(name);
        registry.removeSingleMetric(name);
      }
  };
  const expire = () => {
    for (const [agentId, { at }] of agents) {
      if (now().getTime() - at < shownMs) return;
      removeEmpty(forget(agentId));
    }
  };
  const familyOf = (name: string, type: Family['type']): Family | undefined => {
    const found = families.get(name);
    if (found !== undefined) return found.type === type ? found : undefined;
    if (families.size >= limits.families || registry.getSingleMetric(name) !== undefined) return undefined;
    const family: Family = { type, reports: new Map(), series: 0 };
    families.set(name, family);
    const get = async () => {
      expire();
      return { name, help, type, aggregator: 'sum', values: summed(family, await places(), deps.aggregateBy) };
    };
    // Its own classes want to know all labels beforehand. The registry asks no more of a metric than this.
    registry.registerMetric({ name, help, type, get, reset: () => undefined } as unknown as Gauge);
    return family;
  };

  return {
    take(agentId, reported) {
      if (!deps.collect) return;
      expire();
      const before = forget(agentId);
      const taken = new Map<string, Map<string, Series>>();
      let dropped = Math.max(reported.length - limits.perAgent, 0);
      for (const { name: given, type, value, labels: givenLabels } of reported.slice(0, limits.perAgent)) {
        const name = metricName(given);
        const labels = metricLabels(givenLabels);
        const full = agents.size >= limits.agents || total >= limits.series;
        const family = full || name === undefined || labels === undefined ? undefined : familyOf(name, type);
        if (name === undefined || labels === undefined || family === undefined) {
          dropped += 1;
          continue;
        }
        const series = taken.get(name) ?? new Map<string, Series>();
        const key = JSON.stringify(labels);
        // What is said twice counts once, as it was said last.
        if (!series.has(key)) {
          if (family.series >= limits.seriesPerFamily) {
            dropped += 1;
            continue;
          }
          family.series += 1;
          total += 1;
        }
        taken.set(name, series.set(key, { labels, value }));
      }
      for (const [name, series] of taken) families.get(name)?.reports.set(agentId, [...series.values()]);
      if (taken.size > 0) agents.set(agentId, { at: now().getTime(), names: [...taken.keys()] });
      removeEmpty(before);
      // The names are the agents' own words: none of them becomes a label here.
      if (dropped > 0) metrics.seriesDropped('agent_metrics', dropped);
    },
  };
}

const help = 'Reported by agents of workspaces.';

/** Series of the agents whose names are known; equal labels are one series. */
function summed(
  family: Family,
  places: ReadonlyMap<string, AgentPlace> | undefined,
  by: readonly AgentPlaceLabel[],
): Series[] {
  const sums = new Map<string, { labels: Record<string, string>; value: number }>();
  for (const [agentId, reported] of family.reports) {
    const place = places?.get(agentId);
    if (place === undefined) continue;
    const own = Object.fromEntries(
      agentPlaceLabels.filter((name) => by.includes(name)).map((name) => [name, place[name]]),
    );
    for (const { labels, value } of reported) {
      const all = { ...own, ...labels };
      const key = JSON.stringify(all);
      const sum = sums.get(key);
      if (sum === undefined) sums.set(key, { labels: all, value });
      else sum.value += value;
    }
  }
  return [...sums.values()];
}

/** How many agents of latest builds are in which state, without names. Source: spec/08 §1.3. */
function agentStatuses({ metrics, readStatuses, now }: AgentMetricsDeps, onFailed: (err: unknown) => void): void {
  const statuses = createSnapshot({ read: readStatuses, maxAgeMs: statusesKeptMs, now, onFailed });
  new Gauge({
    name: 'coderd_agents_status',
    help: 'Agents of the latest builds of workspaces.',
    labelNames: ['status', 'lifecycle_state'] as const,
    registers: [metrics.registry],
    async collect() {
      const rows = await statuses();
      if (rows === undefined) return;
      this.reset();
      for (const { status, lifecycleState, count } of rows)
        this.set({ status, lifecycle_state: lifecycleState }, count);
    },
  });
}
