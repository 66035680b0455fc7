import { type SQL, and, asc, desc, eq, inArray, isNull, or, sql } from 'drizzle-orm';
import { alias } from 'drizzle-orm/pg-core';
import { type Db, preparedQuery } from '../client.ts';
import { provisionerJobs } from '../schema/provisioner-jobs.ts';
import { users } from '../schema/users.ts';
import { liveWorkspaceAgents, workspaceResources } from '../schema/workspace-agents.ts';
import { workspaceBuilds, workspaces } from '../schema/workspaces.ts';

const latest = alias(workspaceBuilds, 'latest');
const latestJob = alias(provisionerJobs, 'latest_job');

/** Whose agent it is and why it may speak: ids only, so that it can be kept in memory (spec/05 §2). */
const identityColumns = {
  tokenHash: liveWorkspaceAgents.authTokenHash,
  agentId: liveWorkspaceAgents.id,
  agentName: liveWorkspaceAgents.name,
  parentId: liveWorkspaceAgents.parentId,
  apiKeyScope: liveWorkspaceAgents.apiKeyScope,
  resourceId: liveWorkspaceAgents.resourceId,
  buildId: workspaceBuilds.id,
  workspaceId: workspaces.id,
  ownerId: workspaces.ownerId,
  organizationId: workspaces.organizationId,
  templateId: workspaces.templateId,
  ownerStatus: users.status,
  ownerIsSystem: users.isSystem,
  /** Why: its build is the newest, a stop or delete is under way, or a prebuild is being claimed (or refreshed). */
  window: sql<AdmissionWindow>`case when ${workspaceBuilds.isLatest} then 'current'
    when ${latest.refreshOnly} then 'refresh' when ${latest.transition} = 'start' then 'claim' else 'shutdown' end`,
};

export type AdmissionWindow = 'current' | 'shutdown' | 'claim' | 'refresh';

/** The build after this one is a stop or delete that is not over yet: stop scripts run, and their logs still count. */
const shutdownWindow = and(
  inArray(latest.transition, ['stop', 'delete']),
  eq(latest.buildNumber, sql`${workspaceBuilds.buildNumber} + 1`),
  inArray(latestJob.jobStatus, ['pending', 'running', 'canceling']),
);

/** A claim (also a failed one) or a refresh has not changed what runs: the last build that succeeded is this one. */
const claimWindow = and(
  eq(latest.transition, 'start'),
  or(eq(latest.prebuildStage, 'claim'), eq(latest.refreshOnly, true)),
  sql`${latestJob.jobStatus} <> 'succeeded'`,
  sql`not exists (select 1 from workspace_builds later join provisioner_jobs job on job.id = later.job_id
    where later.workspace_id = ${workspaces.id} and later.build_number > ${workspaceBuilds.buildNumber} and job.job_status = 'succeeded')`,
);

const admitted = (where: SQL | undefined) =>
  and(
    where,
    eq(workspaceBuilds.transition, 'start'),
    // A claim that was handed over has its agent from the beginning (docs/adr/0020).
    or(eq(provisionerJobs.jobStatus, 'succeeded'), eq(workspaceBuilds.handedOver, true)),
    or(eq(workspaceBuilds.isLatest, true), shutdownWindow, claimWindow),
  );

const identities = (db: Db) =>
  db
    .select(identityColumns)
    .from(liveWorkspaceAgents)
    .innerJoin(workspaceResources, eq(workspaceResources.id, liveWorkspaceAgents.resourceId))
    .innerJoin(workspaceBuilds, eq(workspaceBuilds.jobId, workspaceResources.jobId))
    .innerJoin(provisionerJobs, eq(provisionerJobs.id, workspaceBuilds.jobId))
    .innerJoin(workspaces, and(eq(workspaces.id, workspaceBuilds.workspaceId), eq(workspaces.deleted, false)))
    .innerJoin(users, and(eq(users.id, workspaces.ownerId), eq(users.deleted, false)))
    .innerJoin(latest, and(eq(latest.workspaceId, workspaces.id), eq(latest.isLatest, true)))
    .innerJoin(latestJob, eq(latestJob.id, latest.jobId));

export interface AgentIdentity {
  readonly tokenHash: Buffer;
  readonly agentId: string;
  readonly agentName: string;
  readonly parentId: string | null;
  readonly apiKeyScope: 'all' | 'no_user_data';
  readonly resourceId: string;
  readonly buildId: string;
  readonly workspaceId: string;
  readonly ownerId: string;
  readonly organizationId: string;
  readonly templateId: string;
  readonly ownerStatus: 'active' | 'suspended' | 'dormant';
  readonly ownerIsSystem: boolean;
  readonly window: AdmissionWindow;
}

/**
 * The agent with this token hash, when it may speak. A claimed prebuild has two rows with one token: the newer one counts.
 * Source: spec/05 §2.
 */
export async function findAgentByToken(db: Db, authTokenHash: Buffer): Promise<AgentIdentity | undefined> {
  const [row] = await byToken(db, { authTokenHash });
  return row;
}
const byToken = preparedQuery<{ authTokenHash: Buffer }, AgentIdentity>((db) =>
  identities(db)
    .where(admitted(eq(liveWorkspaceAgents.authTokenHash, sql.placeholder('authTokenHash'))))
    .orderBy(desc(workspaceBuilds.buildNumber))
    .limit(1)
    .prepare('agent_by_token'),
);

/** The same for many tokens at once; keys are the hashes in hex. */
export async function listAgentsByTokens(db: Db, hashes: readonly Buffer[]): Promise<Map<string, AgentIdentity>> {
  if (hashes.length === 0) return new Map();
  const rows = await byTokens(db, { hashes: `{${hashes.map((hash) => `"\\\\x${hash.toString('hex')}"`).join(',')}}` });
  return new Map(rows.map((row) => [row.tokenHash.toString('hex'), row]));
}

const byTokens = preparedQuery<{ hashes: string }, AgentIdentity>((db) =>
  identities(db)
    .where(admitted(sql`${liveWorkspaceAgents.authTokenHash} = any(${sql.placeholder('hashes')}::text::bytea[])`))
    .orderBy(asc(workspaceBuilds.buildNumber))
    .prepare('agents_by_tokens'),
);

/**
 * Every top-level agent that a build of a workspace gave this machine, with what decides whether it may speak; the newest
 * first. Sub-agents never stand for their machine.
 */
export async function listAgentsByInstanceId(db: Db, instanceId: string) {
  const may = sql<boolean>`coalesce(${admitted(undefined)}, false)`;
  return db
    .select({
      agentId: liveWorkspaceAgents.id,
      agentName: liveWorkspaceAgents.name,
      authTokenEnc: liveWorkspaceAgents.authTokenEnc,
      authTokenEncKeyId: liveWorkspaceAgents.authTokenEncKeyId,
      admitted: may,
    })
    .from(liveWorkspaceAgents)
    .innerJoin(workspaceResources, eq(workspaceResources.id, liveWorkspaceAgents.resourceId))
    .innerJoin(workspaceBuilds, eq(workspaceBuilds.jobId, workspaceResources.jobId))
    .innerJoin(provisionerJobs, eq(provisionerJobs.id, workspaceBuilds.jobId))
    .innerJoin(workspaces, and(eq(workspaces.id, workspaceBuilds.workspaceId), eq(workspaces.deleted, false)))
    .innerJoin(users, and(eq(users.id, workspaces.ownerId), eq(users.deleted, false)))
    .innerJoin(latest, and(eq(latest.workspaceId, workspaces.id), eq(latest.isLatest, true)))
    .innerJoin(latestJob, eq(latestJob.id, latest.jobId))
    .where(and(eq(liveWorkspaceAgents.authInstanceId, instanceId), isNull(liveWorkspaceAgents.parentId)))
    .orderBy(desc(workspaceBuilds.createdAt), asc(liveWorkspaceAgents.id));
}
