import { createHash, randomUUID } from 'node:crypto';
import { type Db, transaction } from '../db/client.ts';
import type { ColumnCipher } from '../db/encryption.ts';
import { agentStatesChannel, notify, workspacesChannel } from '../db/notifications.ts';
import type { AgentIdentity } from '../db/queries/agent-tokens.ts';
import { agentTokenPlace } from '../db/queries/provisioned-resources.ts';
import {
  type ChildAgent,
  type NewApp,
  findSubAgent,
  getMaxSharingLevel,
  insertApps,
  insertSubAgent,
  listAgentsOfBuild,
  listSubAgents,
  lockParentAgent,
  softDeleteSubAgent,
  updateSubAgent,
} from '../db/queries/sub-agents.ts';
import { DomainError, invalidField, notFound } from '../domain/errors.ts';
import type { DisplayApp } from '../domain/provisioned.ts';
import {
  type SharingLevel,
  agentNameProblem,
  appSlugProblem,
  clampSharingLevel,
  effectiveHealthcheck,
  isAgentNameTaken,
  maxSubAgentApps,
  maxSubAgents,
  storedAppSlug,
} from '../domain/sub-agents.ts';
import { requireValid } from './caller.ts';

interface Deps {
  readonly db: Db;
  readonly cipher: ColumnCipher;
  now(): Date;
}

export interface SubAgentApp {
  readonly slug: string;
  readonly displayName: string;
  readonly icon: string;
  readonly command: string | null;
  readonly url: string | null;
  readonly external: boolean;
  readonly subdomain: boolean;
  readonly share: SharingLevel;
  readonly healthcheck: { readonly url: string; readonly interval: number; readonly threshold: number };
  readonly order: number;
  readonly group: string | null;
  readonly hidden: boolean;
  readonly openIn: 'slim-window' | 'tab';
  readonly tooltip: string;
}
/** What is wrong with one app of a request; the others are made all the same. */
export interface AppProblem {
  readonly field?: string;
  readonly error: string;
}

export interface SubAgent {
  readonly id: string;
  readonly name: string;
  readonly authToken: string;
}
export interface CreatedSubAgent {
  readonly agent: SubAgent;
  readonly appErrors: readonly (AppProblem & { readonly index: number })[];
}

export interface NewSubAgentInput {
  readonly name: string;
  readonly directory: string;
  readonly architecture: string;
  readonly operatingSystem: string;
  readonly displayApps: readonly DisplayApp[];
  /** In the order of the request; already read, or what could not be read. */
  readonly apps: readonly (SubAgentApp | AppProblem)[];
}

function requireTopLevel(agent: AgentIdentity): void {
  if (agent.parentId !== null) throw new DomainError('FORBIDDEN', 'Only a top-level agent has sub-agents');
}

/** Agents in dev containers, made and ended by the agent around them. Source: spec/05 §13. */
export function createSubAgents(deps: Deps) {
  const { db, cipher } = deps;
  const opened = (child: ChildAgent): SubAgent => ({
    id: child.id,
    name: child.name,
    authToken: cipher.decrypt(agentTokenPlace(child.id), child.authTokenEncKeyId, child.authTokenEnc).toString(),
  });

  /** Throws INVALID_INPUT, CONFLICT for a taken name, FORBIDDEN for a child. */
  async function create(parent: AgentIdentity, input: NewSubAgentInput): Promise<CreatedSubAgent> {
    requireTopLevel(parent);
    const { name } = input;
    requireValid('name', agentNameProblem(name));
    if (input.apps.length > maxSubAgentApps) throw invalidField('apps', `must be at most ${maxSubAgentApps}`);
    const agent = { id: randomUUID(), name, authToken: randomUUID() };
    const now = deps.now();
    return transaction(db, async (tx) => {
      const inherited = await lockParentAgent(tx, parent);
      // Deleted since it was admitted.
      if (inherited === undefined) throw new DomainError('UNAUTHENTICATED', 'The agent is no longer valid');
      const others = await listAgentsOfBuild(tx, inherited.resourceId);
      if (others.filter((other) => other.parentId === parent.agentId).length >= maxSubAgents)
        throw new DomainError('INVALID_INPUT', `An agent has at most ${maxSubAgents} sub-agents`);
      if (
        isAgentNameTaken(
          name,
          others.map((other) => other.name),
        )
      )
        throw new DomainError('CONFLICT', `The workspace already has an agent "${name}"`, {
          validations: [{ field: 'name', detail: 'is already taken' }],
        });
      const { architecture, operatingSystem, directory, displayApps } = input;
      await insertSubAgent(tx, cipher, {
        id: agent.id,
        parentId: parent.agentId,
        name,
        token: agent.authToken,
        directory,
        architecture,
        operatingSystem,
        displayApps,
        inherited,
        now,
      });
      const { apps, problems } = appRows(input.apps, {
        agent,
        maximum: await getMaxSharingLevel(tx, parent.templateId),
        now,
      });
      await insertApps(tx, apps);
      await notify(tx, agentStatesChannel, parent.workspaceId);
      return { agent, appErrors: problems };
    });
  }

  /** For a child that the template declares: only what the container decides. Throws NOT_FOUND for anybody else's. */
  async function update(
    parent: AgentIdentity,
    input: { id: string; displayApps: readonly DisplayApp[]; directory: string },
  ): Promise<CreatedSubAgent> {
    requireTopLevel(parent);
    const child = await transaction(db, async (tx) => {
      const known = await updateSubAgent(tx, { ...input, parentId: parent.agentId, now: deps.now() });
      const row = known ? await findSubAgent(tx, parent.agentId, input.id) : undefined;
      if (row === undefined) throw notFound();
      await notify(tx, agentStatesChannel, parent.workspaceId);
      return row;
    });
    return { agent: opened(child), appErrors: [] };
  }

  async function list(parent: AgentIdentity): Promise<SubAgent[]> {
    requireTopLevel(parent);
    return (await listSubAgents(db, parent.agentId)).map(opened);
  }

  /** Throws NOT_FOUND for what never was a child of the caller; a second time is fine. */
  async function remove(parent: AgentIdentity, id: string): Promise<void> {
    requireTopLevel(parent);
    await transaction(db, async (tx) => {
      const outcome = await softDeleteSubAgent(tx, { id, parentId: parent.agentId, now: deps.now() });
      if (outcome === 'unknown') throw notFound();
      if (outcome === 'deleted') await notify(tx, workspacesChannel, parent.workspaceId);
    });
  }

  return { create, update, list, remove };
}

function appRows(
  given: readonly (SubAgentApp | AppProblem)[],
  to: { agent: { id: string; name: string }; maximum: SharingLevel; now: Date },
): { apps: NewApp[]; problems: (AppProblem & { index: number })[] } {
  const apps: NewApp[] = [];
  const problems: (AppProblem & { index: number })[] = [];
  const slugs: string[] = [];
  for (const [index, app] of given.entries()) {
    const problem = 'error' in app ? app : slugProblem(app.slug, slugs);
    if (problem !== undefined) problems.push({ index, ...problem });
    if (problem !== undefined || 'error' in app) continue;
    slugs.push(app.slug);
    const check = effectiveHealthcheck(app.healthcheck);
    apps.push({
      id: randomUUID(),
      createdAt: to.now,
      agentId: to.agent.id,
      slug: storedAppSlug(createHash('sha256').update(`${to.agent.name}/${app.slug}`).digest(), app.slug),
      displayName: app.displayName === '' ? app.slug : app.displayName,
      icon: app.icon,
      command: app.command,
      url: app.url,
      external: app.external,
      subdomain: app.subdomain,
      sharingLevel: clampSharingLevel(app.share, to.maximum),
      healthcheckUrl: check.url,
      healthcheckInterval: check.interval,
      healthcheckThreshold: check.threshold,
      health: check.url === '' ? 'disabled' : 'initializing',
      displayOrder: app.order,
      displayGroup: app.group,
      hidden: app.hidden,
      openIn: app.openIn,
      tooltip: app.tooltip,
    });
  }
  return { apps, problems };
}

function slugProblem(slug: string, earlier: readonly string[]): AppProblem | undefined {
  const error = appSlugProblem(slug, earlier);
  return error === undefined ? undefined : { field: 'slug', error };
}
