import type { WebSocket } from 'ws';
import { type ServerFrame, closeCodes } from '../agent/protocol.ts';
import { type Listener, workspacesChannel } from '../db/notifications.ts';
import type { AgentIdentity } from '../db/queries/agent-tokens.ts';
import type { AgentAuth } from './agent-auth.ts';
import type { Connections } from './connections.ts';

/** Sockets are pinged in so many groups, one group a second: no burst, no timer per socket. */
export const pingEveryS = 15;
const inactiveMs = 2 * pingEveryS * 1_000;
const framesPerSecond = 100;
const goingAway = 'the server is going away';
/** A peer that does not answer the close is cut off. */
const closeWithinMs = 5_000;

export interface AgentSocket {
  identity: AgentIdentity;
  readonly socket: WebSocket;
  /** Others (tools that use the agent's token) say nothing about whether the agent is there. */
  readonly isAgent: boolean;
  readonly group: number;
  pongAt: number;
  frames: number;
  framesSince: number;
}

export interface SocketHooks {
  /** A text frame of the agent. */
  readonly onFrame: (identity: AgentIdentity, text: string) => void;
  /** The agent has just come: what was asked of it before is sent now. */
  readonly onConnected: (identity: AgentIdentity) => void;
}

export interface AgentSockets {
  add(socket: WebSocket, identity: AgentIdentity, options: { isAgent: boolean }): void;
  /** false = its socket is not here. */
  send(agentId: string, frame: ServerFrame): boolean;
  /** Those of the given agents whose socket is here. */
  connected(agentIds: readonly string[]): string[];
  agentIds(): string[];
  close(): void;
}

/**
 * The open WebSockets of agents at this process: pings, liveness, and whether their tokens still hold. Source: spec/05 §2 Rotation,
 * §7.
 */
export function createAgentSockets(deps: {
  auth: AgentAuth;
  connections: Connections;
  listener: Listener;
  now: () => Date;
  hooks: SocketHooks;
  onFailed: (err: unknown) => void;
}): AgentSockets {
  const { auth, connections, listener, hooks, now } = deps;
  const byAgent = new Map<string, AgentSocket>();
  const groups = Array.from({ length: pingEveryS }, () => new Set<AgentSocket>());
  const byWorkspace = new Map<string, Set<AgentSocket>>();
  let closed = false;
  let next = 0;
  let tick = 0;

  const where = (entry: AgentSocket) => ({
    agentId: entry.identity.agentId,
    workspaceId: entry.identity.workspaceId,
  });

  function remove(entry: AgentSocket): void {
    if (!groups[entry.group]!.delete(entry)) return;
    const { agentId, workspaceId } = entry.identity;
    const ofWorkspace = byWorkspace.get(workspaceId);
    ofWorkspace?.delete(entry);
    if (ofWorkspace?.size === 0) byWorkspace.delete(workspaceId);
    if (byAgent.get(agentId) !== entry) return;
    byAgent.delete(agentId);
    connections.disconnected(where(entry), now());
  }

  function pingGroup(group: Set<AgentSocket>): void {
    const instant = Date.now();
    for (const entry of group) {
      if (instant - entry.pongAt > inactiveMs) {
        remove(entry);
        entry.socket.terminate();
      } else entry.socket.ping();
    }
  }

  /** Closes what may not speak any more, and tells who has become another agent (a claimed prebuild). */
  async function recheck(entries: readonly AgentSocket[]): Promise<void> {
    if (entries.length === 0) return;
    const found = await auth.recheck(entries.map(({ identity }) => identity.tokenHash));
    for (const entry of entries) {
      const identity = found.get(entry.identity.tokenHash.toString('hex'));
      if (identity === undefined) entry.socket.close(closeCodes.refused, 'build is outdated');
      else if (identity.agentId === entry.identity.agentId) entry.identity = identity;
      else {
        sendFrame(entry, {
          type: 'reinit',
          event: { workspace_id: identity.workspaceId, user_id: identity.ownerId, reason: 'prebuild_claimed' },
        });
        entry.socket.close(closeCodes.reinit, 'the token stands for another agent');
      }
    }
  }
  const recheckSafely = (entries: readonly AgentSocket[]) => void recheck(entries).catch(deps.onFailed);
  const all = () => groups.flatMap((group) => [...group]);

  const unsubscribe = listener.subscribe(workspacesChannel, (ids) => {
    const entries = ids === undefined ? all() : ids.flatMap((id) => [...(byWorkspace.get(id) ?? [])]);
    recheckSafely(entries);
  });
  const ticking = setInterval(() => {
    tick += 1;
    const group = groups[tick % pingEveryS]!;
    pingGroup(group);
    // A token that was not told of is found after fifteen seconds at the latest.
    recheckSafely([...group]);
  }, 1_000);

  const sendFrame = ({ socket }: AgentSocket, frame: ServerFrame) => socket.send(JSON.stringify(frame));

  return {
    add(socket, identity, { isAgent }) {
      socket.on('error', () => socket.terminate());
      // Its upgrade was under way when the process was told to stop.
      if (closed) return socket.close(1001, goingAway);
      const group = (next += 1) % pingEveryS;
      const entry: AgentSocket = {
        identity,
        socket,
        isAgent,
        group,
        pongAt: Date.now(),
        frames: 0,
        framesSince: 0,
      };
      groups[group]!.add(entry);
      const { agentId, workspaceId } = identity;
      byWorkspace.set(workspaceId, (byWorkspace.get(workspaceId) ?? new Set()).add(entry));
      socket.on('pong', () => {
        entry.pongAt = Date.now();
        if (isAgent) connections.seen(where(entry), now());
      });
      socket.on('message', (message: Buffer, binary: boolean) => {
        const second = Math.floor(Date.now() / 1_000);
        if (second !== entry.framesSince) [entry.framesSince, entry.frames] = [second, 0];
        entry.frames += 1;
        if (entry.frames > framesPerSecond || binary) return socket.close(1008, 'too many or binary frames');
        hooks.onFrame(entry.identity, message.toString());
      });
      socket.on('close', () => remove(entry));
      if (!isAgent) return;
      const older = byAgent.get(agentId);
      byAgent.set(agentId, entry);
      older?.socket.close(closeCodes.superseded, 'superseded');
      connections.connected(where(entry), now());
      socket.ping();
      hooks.onConnected(identity);
    },
    send(agentId, frame) {
      const entry = byAgent.get(agentId);
      if (entry === undefined || entry.socket.readyState !== entry.socket.OPEN) return false;
      sendFrame(entry, frame);
      return true;
    },
    connected: (agentIds) => agentIds.filter((id) => byAgent.has(id)),
    agentIds: () => [...byAgent.keys()],
    close() {
      clearInterval(ticking);
      unsubscribe();
      // Agents come back to another replica, spread over time; until they are late they count as connected.
      closed = true;
      byAgent.clear();
      const open = all();
      for (const { socket } of open) socket.close(1001, goingAway);
      setTimeout(() => {
        for (const { socket } of open) socket.terminate();
      }, closeWithinMs).unref();
    },
  };
}
