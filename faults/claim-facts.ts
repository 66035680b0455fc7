import type { Context } from './context.ts';
import { createApiClient } from './api-client.ts';
import type { Machine } from './machines.ts';
import type { Finding } from './oracle.ts';
import { demand, eventually } from './patience.ts';
import type { Claimant } from './pool-claims.ts';
import { judgeClaim } from './pool-oracle.ts';
import { type Pool, patiently } from './pools.ts';
import type { Run } from './run.ts';

export interface Progress {
  readonly agentReady: boolean;
  readonly buildOver: boolean;
  readonly state: string;
  readonly status: string;
}

/** How far the claim of a workspace is; of a pool: waits until every agent of its prebuilds is ready and connected. */
export async function claimProgress(
  context: Context,
  of: { readonly workspaceId: string } | { readonly pool: Pool; readonly allReadyWithinMs: number },
): Promise<Progress> {
  if ('workspaceId' in of) return (await progressOf(context, [of.workspaceId]))[0] ?? nothing;
  const { sql } = context.stack;
  const prebuilds = () => sql<{ id: string }[]>`
    select w.id from workspaces w join users u on u.id = w.owner_id
    where w.template_id = ${of.pool.templateId} and not w.deleted and u.is_system`;
  return demand(
    `the agents of ${of.pool.name}`,
    async () => {
      const ids = (await patiently(prebuilds)).map(({ id }) => id);
      const all = await progressOf(context, ids);
      return all.length === ids.length && all.every(({ agentReady }) => agentReady) && (all[0] ?? nothing);
    },
    { boundMs: of.allReadyWithinMs, everyMs: 100 },
  );
}

const nothing: Progress = { agentReady: false, buildOver: false, state: 'none', status: 'none' };

const progressOf = ({ stack: { sql } }: Context, ids: readonly string[]): Promise<readonly Progress[]> =>
  patiently(
    () => sql<Progress[]>`
      select coalesce(a.lifecycle_state = 'ready' and c.last_connected_at is not null
          and coalesce(c.disconnected_at, '-infinity') <= c.last_connected_at, false) as "agentReady",
        j.completed_at is not null as "buildOver", coalesce(a.lifecycle_state::text, 'none') as state, j.job_status as status
      from workspaces w join workspace_builds b on b.id = w.latest_build_id join provisioner_jobs j on j.id = b.job_id
      left join workspace_resources r on r.job_id = j.id
        and exists (select from workspace_agents x where x.resource_id = r.id and not x.deleted)
      left join workspace_agents a on a.resource_id = r.id and not a.deleted and a.parent_id is null
      left join workspace_agent_connections c on c.agent_id = a.id
      where w.id = any(${[...ids]}::uuid[])`,
  );

interface WorkspaceFacts {
  readonly ownerId: string;
  readonly namesakes: number;
  readonly phase: string;
}
interface BuildFacts {
  readonly number: number;
  readonly initiatorIsOwner: boolean;
  readonly handedOver: boolean;
}

/** Gathers what is known of a claimed workspace and judges it; `phase` = where it was at the fault. */
export async function claimJudgement(
  context: Context,
  of: {
    readonly claim: {
      run: Run;
      claimant: Claimant;
      handsOver: boolean;
      momentMs: number;
      readyAtMs: number | undefined;
    };
    readonly claimants: readonly Claimant[];
    readonly machine: Machine | undefined;
    readonly wasPrebuild: boolean;
    readonly strikeAt: number;
  },
): Promise<{ findings: Finding[]; phase: string }> {
  const { sql } = context.stack;
  const { run, claimant, handsOver, readyAtMs, momentMs } = of.claim;
  const at = new Date(of.strikeAt);
  const [facts] = await patiently(
    () => sql<WorkspaceFacts[]>`
      select w.owner_id as "ownerId", (select count(*)::int from workspaces n
          where n.owner_id = ${claimant.id} and n.name = ${run.name} and not n.deleted) as namesakes,
        case when w.claimed_at is null or w.claimed_at > ${at} then 'claim not made'
          when j.completed_at <= ${at} then 'built' when j.started_at <= ${at} then 'building' else 'waiting' end as phase
      from workspaces w join workspace_builds b on b.id = w.latest_build_id join provisioner_jobs j on j.id = b.job_id
      where w.id = ${run.workspaceId}`,
  );
  const builds = await patiently(
    () => sql<BuildFacts[]>`
      select b.build_number::int as number, b.initiator_id = ${claimant.id} as "initiatorIsOwner",
        coalesce(b.handed_over, false) as "handedOver"
      from workspace_builds b where b.workspace_id = ${run.workspaceId} order by b.build_number`,
  );
  const others = of.claimants.filter(({ id }) => id !== claimant.id);
  const findings = judgeClaim({
    claimant,
    strangers: others.flatMap(({ name, secret }) => [name, secret.split('=')[0]!]),
    ownerId: facts?.ownerId ?? 'nobody',
    wasPrebuild: of.wasPrebuild,
    namesakes: facts?.namesakes ?? 0,
    builds,
    handsOver,
    starts: of.machine?.starts() ?? [],
    manifest: of.machine === undefined ? undefined : await manifestOf(context, of.machine.token),
  });
  const isReady = readyAtMs !== undefined && readyAtMs <= of.strikeAt;
  const phase = momentMs < 0 ? 'before the request' : `${facts?.phase ?? 'vanished'}${isReady ? ', agent ready' : ''}`;
  return { findings, phase };
}

async function manifestOf(context: Context, token: string): Promise<{ ownerId: string; text: string } | undefined> {
  const api = createApiClient(() => context.fleet.apis[0]!.url, token);
  return eventually(
    async () => {
      const { status, body } = await api.request<{ owner_id: string }>('GET', '/workspaceagents/me/manifest');
      return status === 200 && { ownerId: body.owner_id, text: JSON.stringify(body) };
    },
    { boundMs: 20_000, everyMs: 200 },
  );
}
