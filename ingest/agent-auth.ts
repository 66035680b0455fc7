import { randomUUID } from 'node:crypto';
import type { Db } from '../db/client.ts';
import { type Listener, workspacesChannel } from '../db/notifications.ts';
import { type AgentIdentity, findAgentByToken, listAgentsByTokens } from '../db/queries/agent-tokens.ts';
import type { NotifyGroup } from './notify-group.ts';
import { RecentMap } from './recent-map.ts';

const capacity = 50_000;
const keptMs = 60_000;
/** While notifications may be missing: our own did not come back. */
const keptBlindMs = 5_000;
const probeEveryMs = 5_000;
const idsPerQuery = 1_000;

interface Entry {
  readonly identity: AgentIdentity;
  readonly readAt: number;
}

export interface AgentAuth {
  /** From memory when it was read lately; `fresh` asks the database. */
  find(tokenHash: Buffer, options: { fresh: boolean }): Promise<AgentIdentity | undefined>;
  /** Asks about many at once, as few statements as possible; keys are the hashes in hex. */
  recheck(tokenHashes: readonly Buffer[]): Promise<Map<string, AgentIdentity>>;
  close(): void;
}

/**
 * Who an agent token stands for, kept for a minute: reports come too often to ask each time. Every change of a workspace (a new
 * build, the end of one, a claim, an agent deleted) empties what is kept of it. Source: spec/05 §2.
 */
export function createAgentAuth(deps: {
  db: Db;
  listener: Listener;
  notify: NotifyGroup;
  onAsked: (result: 'hit' | 'miss') => void;
}): AgentAuth {
  const { db, listener, notify } = deps;
  const kept = new RecentMap<string, Entry>(capacity);
  const ofWorkspace = new Map<string, Set<string>>();
  /** When something of a workspace, or of all, was to be forgotten. */
  const emptiedAt = new RecentMap<string, number>(capacity);
  let allEmptiedAt = -Infinity;
  const probe = randomUUID();
  let heardAt = performance.now();
  const probing = setInterval(() => {
    if (kept.size > 0) notify.add(workspacesChannel, [probe]);
    else heardAt = performance.now();
  }, probeEveryMs).unref();
  const keptFor = () => (performance.now() - heardAt < 2 * probeEveryMs + 1_000 ? keptMs : keptBlindMs);

  const forget = (key: string, { identity }: Entry) => {
    kept.delete(key);
    const keys = ofWorkspace.get(identity.workspaceId);
    keys?.delete(key);
    if (keys?.size === 0) ofWorkspace.delete(identity.workspaceId);
  };
  const remember = (identity: AgentIdentity, readAt: number) => {
    const key = identity.tokenHash.toString('hex');
    kept.set(key, { identity, readAt });
    ofWorkspace.set(identity.workspaceId, (ofWorkspace.get(identity.workspaceId) ?? new Set()).add(key));
  };
  const unsubscribe = listener.subscribe(workspacesChannel, (ids) => {
    heardAt = performance.now();
    if (ids?.length === 1 && ids[0] === probe) return;
    const now = performance.now();
    if (ids === undefined) {
      allEmptiedAt = now;
      kept.clear();
      ofWorkspace.clear();
      return;
    }
    for (const id of ids) {
      emptiedAt.set(id, now);
      for (const key of Array.from(ofWorkspace.get(id) ?? [])) {
        const entry = kept.get(key);
        if (entry !== undefined) forget(key, entry);
      }
    }
  });
  /** What was read before something was emptied may be what was to be forgotten. */
  const rememberUnlessEmptied = (identity: AgentIdentity, readAt: number) => {
    const emptied = Math.max(allEmptiedAt, emptiedAt.get(identity.workspaceId) ?? -Infinity);
    if (emptied < readAt) remember(identity, readAt);
  };

  return {
    async find(tokenHash, { fresh }) {
      const key = tokenHash.toString('hex');
      const now = performance.now();
      const entry = kept.peek(key);
      if (!fresh && entry !== undefined && now - entry.readAt < keptFor()) {
        deps.onAsked('hit');
        return entry.identity;
      }
      deps.onAsked('miss');
      const identity = await findAgentByToken(db, tokenHash);
      if (identity !== undefined) rememberUnlessEmptied(identity, now);
      else if (entry !== undefined) forget(key, entry);
      return identity;
    },
    async recheck(tokenHashes) {
      const found = new Map<string, AgentIdentity>();
      for (let from = 0; from < tokenHashes.length; from += idsPerQuery) {
        const readAt = performance.now();
        const page = tokenHashes.slice(from, from + idsPerQuery);
        const identities = await listAgentsByTokens(db, page);
        for (const hash of page) {
          const key = hash.toString('hex');
          const identity = identities.get(key);
          const entry = kept.get(key);
          if (identity === undefined) {
            if (entry !== undefined) forget(key, entry);
          } else {
            found.set(key, identity);
            rememberUnlessEmptied(identity, readAt);
          }
        }
      }
      return found;
    },
    close() {
      clearInterval(probing);
      unsubscribe();
    },
  };
}
