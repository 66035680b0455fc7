import { randomUUID } from 'node:crypto';
import type { Config } from '../config.ts';
import { claimEnvironment, mayHandOverAtOnce } from '../domain/claims.ts';
import { prebuildClaimer } from '../domain/actors.ts';
import { authorizeWorkspace } from '../domain/authorization.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../domain/ids.ts';
import { claimableSince } from '../domain/prebuilds.ts';
import type { TemplateParameter } from '../domain/provisioned.ts';
import { isWithinQuota } from '../domain/quota.ts';
import type { Subject } from '../domain/subject.ts';
import { type Db, pipelined } from '../db/client.ts';
import { notify, prebuildsChannel } from '../db/notifications.ts';
import type { AuditOrigin } from '../db/queries/audit-logs.ts';
import { insertAudit } from '../db/queries/audit-logs.ts';
import {
  type Candidate,
  type ClaimWish,
  giveWorkspace,
  handOverAgents,
  lockCandidate,
  recheckCandidate,
} from '../db/queries/claims.ts';
import { findQuota, lockQuota, setBuildCost } from '../db/queries/quota.ts';
import { deleteSessionToken, sessionTokenName } from '../db/queries/session-tokens.ts';
import type { BuildVersion, VersionPreset } from '../db/queries/template-versions.ts';
import { type LatestBuild, findLatestBuild } from '../db/queries/workspace-builds.ts';
import { type WorkspaceRow, lockWorkspace } from '../db/queries/workspaces.ts';
import type { CommandDeps } from './deps.ts';
import { writeBuilds } from './insert-pending-build.ts';
import { planBuild } from './plan-build.ts';
import type { JobFacts } from './start-job.ts';

export interface ClaimPrebuild {
  readonly version: BuildVersion & { readonly template: NonNullable<BuildVersion['template']> };
  readonly preset: VersionPreset;
  readonly parameters: readonly TemplateParameter[];
  readonly requested: readonly { readonly name: string; readonly value: string }[];
  readonly owner: { readonly userId: string; readonly username: string; readonly name: string; readonly email: string };
  readonly name: string;
  readonly autostartSchedule: string | null;
  readonly nextStartAt: Date | null;
  readonly ttlMs: number | null;
  readonly automaticUpdates: 'always' | 'never';
  readonly origin: AuditOrigin;
}

export type ClaimMiss = 'none_ready' | 'inactive' | 'quota';
export type Claim =
  | { readonly kind: 'claimed'; readonly id: string; readonly facts: JobFacts; readonly handedOver: boolean }
  | { readonly kind: 'missed'; readonly why: ClaimMiss };

/** What a claim needs besides its transaction. */
export interface ClaimDeps extends Pick<CommandDeps, 'now'> {
  readonly config: Pick<Config, 'CODER_QUOTA_ENABLED'>;
}

/** Candidates that may turn out not to fit after all before the claim is given up (spec/03 §11.2). */
const maxTries = 3;

/**
 * Gives a ready prebuild of the preset to its new owner, in the caller's transaction: the row, the claim's build and, where
 * nothing depends on the owner, the agent as well. The caller has checked that the subject may create the workspace. What fits
 * nobody else can take at the same time, and nobody waits. A failure leaves the pool as it was. Source: spec/03 §11.
 */
export async function claimPrebuild(tx: Db, deps: ClaimDeps, subject: Subject, input: ClaimPrebuild): Promise<Claim> {
  const { version, preset, owner, name, origin } = input;
  const ownerId = owner.userId;
  const { organizationId } = version.template;
  if (version.id !== version.template.activeVersionId) return { kind: 'missed', why: 'inactive' };
  const now = deps.now();
  const wish: ClaimWish = {
    templateId: version.template.id,
    versionId: version.id,
    presetId: preset.id,
    madeSince: claimableSince(preset, now),
    immutable: immutableWishes(input),
  };
  const found = await findCandidate(tx, wish);
  if (found === undefined) return { kind: 'missed', why: 'none_ready' };
  const { id, candidate, before, latest } = found;
  authorizeWorkspace(prebuildClaimer({ organizationId }), 'update', before);
  const cost = deps.config.CODER_QUOTA_ENABLED ? candidate.dailyCost : 0;
  if (!(await isAffordable(tx, { ownerId, organizationId, cost }))) return { kind: 'missed', why: 'quota' };
  const { autostartSchedule, nextStartAt, ttlMs, automaticUpdates } = input;
  const planned = planBuild(
    {
      id: randomUUID(),
      workspace: { ...before, ownerId, name, claimedAt: now },
      latest,
      version,
      transition: 'start',
      reason: 'initiator',
      initiatorId: subject.id,
      requested: input.requested,
      claim: {
        handsOver: (values) => {
          const { instantClaim: allowed, dependencies, agents } = candidate;
          return mayHandOverAtOnce({ allowed, dependencies, agents: agents.length, ...values });
        },
      },
      debug: false,
      origin,
    },
    {
      preset,
      parameters: input.parameters,
      previous: candidate.parameters,
      names: { ownerName: owner.username, templateName: version.template.name },
      claimProgress: null,
    },
    now,
  );
  const { facts } = planned;
  const handedOver = planned.build.handedOver === true;
  await pipelined([
    giveWorkspace(tx, {
      workspaceId: id,
      ownerId,
      name,
      autostartSchedule,
      nextStartAt,
      ttlMs,
      automaticUpdates,
      now,
    }),
    deleteSessionToken(tx, {
      userId: PREBUILDS_SYSTEM_USER_ID,
      name: sessionTokenName(PREBUILDS_SYSTEM_USER_ID, id),
    }),
    insertAudit(tx, {
      origin,
      time: now,
      resourceType: 'workspace',
      resourceId: id,
      resourceTarget: name,
      action: 'create',
      organizationId,
      statusCode: 201,
      additionalFields: { claimed_prebuild: candidate.name },
    }),
    writeBuilds(tx, [planned]),
    // Counts from now on: who claims twice at once has to have the budget for both.
    cost !== 0 && setBuildCost(tx, { buildId: planned.build.id, jobId: facts.jobId, cost, granted: true }),
    handedOver &&
      handOverAgents(tx, {
        fromJobId: latest.jobId,
        toJobId: facts.jobId,
        environment: environmentOf(candidate, owner, { id, name }),
        now,
      }),
    notify(tx, prebuildsChannel, version.template.id),
  ]);
  return { kind: 'claimed', id, facts, handedOver };
}

interface LockedPrebuild {
  readonly id: string;
  readonly candidate: Candidate;
  readonly before: WorkspaceRow;
  readonly latest: LatestBuild;
}

async function findCandidate(tx: Db, wish: ClaimWish): Promise<LockedPrebuild | undefined> {
  const tried: string[] = [];
  while (tried.length < maxTries) {
    const id = await lockCandidate(tx, wish, tried);
    if (id === undefined) return undefined;
    const [candidate, before, latest] = await pipelined([
      recheckCandidate(tx, wish, id),
      lockWorkspace(tx, id),
      findLatestBuild(tx, id),
    ]);
    if (candidate !== undefined && before !== undefined && latest !== undefined)
      return { id, candidate, before, latest };
    tried.push(id);
  }
  return undefined;
}

/** Whether the owner's budget has room for the prebuild: one that would be refused later stays in its pool. Source: spec/03 §10.5. */
async function isAffordable(
  tx: Db,
  { cost, ...place }: { ownerId: string; organizationId: string; cost: number },
): Promise<boolean> {
  if (cost === 0) return true;
  const [, quota] = await pipelined([lockQuota(tx, place), findQuota(tx, place)]);
  return isWithinQuota('start', { cost, previous: 0, ...quota });
}

/** Values that the claim could not change any more: a prebuild with others does not fit (spec/03 §11.2). */
function immutableWishes({ parameters, preset, requested }: ClaimPrebuild): ClaimWish['immutable'] {
  const ofPreset = new Set(preset.parameters.map(({ name }) => name));
  return requested.flatMap(({ name, value }) => {
    const parameter = parameters.find((each) => each.name === name);
    if (parameter === undefined || parameter.mutable || ofPreset.has(name)) return [];
    return [{ name, value: value === '' && !parameter.required ? parameter.defaultValue : value }];
  });
}

/** Variables of the agents that depend on whose workspace it is, with the values of its new owner. */
function environmentOf(
  { dependencies, agents }: Candidate,
  owner: ClaimPrebuild['owner'],
  workspace: { id: string; name: string },
) {
  const known = claimEnvironment(dependencies?.environment ?? [], {
    owner: { id: owner.userId, name: owner.username, full_name: owner.name, email: owner.email },
    workspace,
  });
  return agents.map((agent) => ({
    agentId: agent.id,
    // The label of an agent ends with its name.
    variables: Object.fromEntries(
      known.flatMap(({ agent: label, name, value }) => (label.endsWith(`.${agent.name}`) ? [[name, value]] : [])),
    ),
  }));
}
