import { externalLogSourceId } from '../agent/protocol.ts';
import type { Db } from '../db/client.ts';
import { agentLogsChannel, agentStatesChannel } from '../db/notifications.ts';
import {
  type AgentLogInsert,
  type NewLogSource,
  appendAgentLogs,
  listLogSourceIds,
  putLogSource,
} from '../db/queries/agent-logs.ts';
import { type AgentLogLine, logLimitReached } from '../domain/agent-logs.ts';
import { DomainError, invalidField } from '../domain/errors.ts';
import type { NotifyGroup } from './notify-group.ts';
import { RecentMap } from './recent-map.ts';

/** Lines of all agents of this process are written at most so often. */
const apartMs = 40;
const maxSources = 100;

export interface LogBatch {
  readonly agentId: string;
  readonly workspaceId: string;
  readonly sourceId: string;
  readonly lines: readonly AgentLogLine[];
}

interface Waiting extends LogBatch {
  readonly done: () => void;
  readonly failed: (err: unknown) => void;
}

export interface LogIntake {
  /**
   * Resolves when the lines are stored. Throws TOO_LARGE when the agent's limit is reached (what fits is stored), INVALID_INPUT for
   * an unknown source.
   */
  store(batch: LogBatch): Promise<void>;
  /** Throws INVALID_INPUT when the agent has as many as it may. */
  addSource(source: NewLogSource): Promise<NonNullable<Awaited<ReturnType<typeof putLogSource>>>>;
  /** The source of lines that name none, made when it is first needed. */
  addExternalSource(agentId: string, now: Date): Promise<void>;
  close(): Promise<void>;
}

/** Log lines from agents: written together, answered when they are stored. Source: spec/05 §8. */
export function createLogIntake(deps: { db: Db; notify: NotifyGroup }): LogIntake {
  const { db, notify } = deps;
  const sources = new RecentMap<string, Promise<Set<string>>>(50_000);
  /** Agents that may store nothing more: they are answered without a statement. */
  const full = new RecentMap<string, true>(50_000);
  let waiting: Waiting[] = [];
  let timer: NodeJS.Timeout | undefined;
  let writtenAt = -Infinity;
  let writing: Promise<void> = Promise.resolve();

  async function write(): Promise<void> {
    timer = undefined;
    const batches = waiting;
    waiting = [];
    if (batches.length === 0) return;
    writtenAt = performance.now();
    const lines: AgentLogInsert[] = batches.flatMap(({ agentId, sourceId, lines: each }) =>
      each.map((line) => ({ ...line, agentId, sourceId })),
    );
    try {
      const outcomes = new Map((await appendAgentLogs(db, lines)).map((row) => [row.agent_id, row]));
      notify.add(
        agentLogsChannel,
        [...outcomes.values()].filter((row) => !row.was_overflowed).map((row) => row.agent_id),
      );
      const told = batches.filter(({ agentId }) => {
        const outcome = outcomes.get(agentId);
        return outcome?.first === true || (outcome?.overflowed === true && !outcome.was_overflowed);
      });
      if (told.length > 0)
        notify.add(
          agentStatesChannel,
          told.map(({ workspaceId }) => workspaceId),
        );
      for (const batch of batches) {
        const outcome = outcomes.get(batch.agentId);
        if (outcome === undefined) batch.failed(new DomainError('UNAUTHENTICATED', 'The agent is gone'));
        else if (outcome.overflowed) {
          full.set(batch.agentId, true);
          batch.failed(logLimitReached());
        } else batch.done();
      }
    } catch (err) {
      for (const batch of batches) batch.failed(err);
    }
  }

  const knownSources = (agentId: string): Promise<Set<string>> => {
    let known = sources.get(agentId);
    if (known === undefined) {
      known = listLogSourceIds(db, agentId).then((ids) => new Set(ids));
      sources.set(agentId, known);
      known.catch(() => sources.delete(agentId));
    }
    return known;
  };

  async function addSource(source: NewLogSource) {
    const row = await putLogSource(db, source, maxSources);
    if (row === undefined) throw invalidField('id', `at most ${maxSources} log sources`);
    const known = sources.get(source.agentId);
    if (known !== undefined) (await known).add(source.id);
    return row;
  }

  return {
    addSource,
    async addExternalSource(agentId, now) {
      if ((await knownSources(agentId)).has(externalLogSourceId)) return;
      await addSource({ agentId, id: externalLogSourceId, displayName: 'External', icon: '/emojis/1f310.png', now });
    },
    async store(batch) {
      if (full.get(batch.agentId) === true) throw logLimitReached();
      if (!(await knownSources(batch.agentId)).has(batch.sourceId)) {
        // Another process may have made it.
        sources.delete(batch.agentId);
        if (!(await knownSources(batch.agentId)).has(batch.sourceId))
          throw invalidField('log_source_id', 'there is no such log source');
      }
      await new Promise<void>((done, failed) => {
        waiting.push({ ...batch, done, failed });
        timer ??= setTimeout(
          () => (writing = writing.then(write)),
          Math.max(0, writtenAt + apartMs - performance.now()),
        );
      });
    },
    async close() {
      clearTimeout(timer);
      await (writing = writing.then(write));
    },
  };
}
