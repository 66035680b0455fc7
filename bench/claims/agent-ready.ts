import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import { waitFor } from '../../toolchain/process.ts';
import { quantile, report } from '../report.ts';
import type { ClaimBed } from './bed.ts';

const limitMs = 120_000;
const lookEveryMs = 10;

interface Workspace {
  readonly id: string;
  readonly latest_build: { readonly id: string };
}

/**
 * From the POST until the agent is ready for its new owner, of a template that Terraform really builds and whose machine runs the
 * bundled agent: with instant claim and, as the baseline, without it, in turns. The pool has one; each claim waits for its
 * replacement to be ready.
 */
export async function measureAgentReady(bed: ClaimBed, options: { template: string; runs: number }): Promise<void> {
  const { api } = bed;
  const { template, runs } = options;
  const templates = await api.get<{ id: string; name: string; active_version_id: string }[]>('/templates');
  const { id: templateId, active_version_id: versionId } = templates.find(({ name }) => name === template)!;
  const presets = await api.get<{ ID: string; Name: string; DesiredPrebuildInstances: number | null }[]>(
    `/templateversions/${versionId}/presets`,
  );
  const preset = presets.find(({ DesiredPrebuildInstances: wanted }) => wanted !== null)!;
  await bed.pause(false);
  const samples = { instant: [] as number[], waits: [] as number[], terraform: [] as number[] };
  for (let index = 0; index < runs * 2; index += 1) {
    const instant = index % 2 === 0;
    await api.patch(`/templates/${templateId}`, { instant_claim: instant });
    await untilReserve(bed, templateId);
    // A cycle may still be looking at what has just become ready.
    await delay(1_000);
    const began = Date.now();
    const body = { name: `ready-${randomUUID().slice(0, 8)}`, template_id: templateId };
    const workspace = await api.post<Workspace>('/users/me/workspaces', {
      ...body,
      template_version_preset_id: preset.ID,
    });
    const readyAt = await untilReadySince(bed, workspace.id, new Date(began));
    samples[instant ? 'instant' : 'waits'].push(readyAt.getTime() - began);
    await api.follow(`/workspacebuilds/${workspace.latest_build.id}/logs`);
    samples.terraform.push(Date.now() - began);
    console.error(`agent ready ${instant ? 'at once' : 'after Terraform'}: ${readyAt.getTime() - began} ms`);
    const removal = await api.post<{ id: string }>(`/workspaces/${workspace.id}/builds`, { transition: 'delete' });
    await api.follow(`/workspacebuilds/${removal.id}/logs`);
  }
  const p50 = (sample: readonly number[]) => quantile(sample, 0.5);
  report({
    bench: 'claim',
    metric: 'agent_ready_p50',
    ours: p50(samples.instant),
    baseline: p50(samples.waits),
    n: runs,
    unit: 'ms',
  });
  report({
    bench: 'claim',
    metric: 'agent_ready_over_claim_build_p50',
    ours: p50(samples.instant),
    baseline: p50(samples.terraform),
    n: runs,
    unit: 'ms',
  });
}

async function untilReserve({ sql }: ClaimBed, templateId: string): Promise<void> {
  const ready = await waitFor(
    async () => {
      const [row] = await sql<{ count: number }[]>`
        select count(*)::int as count from workspaces w join workspace_builds b on b.id = w.latest_build_id
        join provisioner_jobs j on j.id = b.job_id and j.job_status = 'succeeded'
        join workspace_resources r on r.job_id = b.job_id
        join workspace_agents a on a.resource_id = r.id and a.lifecycle_state = 'ready'
        where w.template_id = ${templateId} and w.owner_id = ${PREBUILDS_SYSTEM_USER_ID}::uuid and not w.deleted`;
      return row!.count > 0;
    },
    limitMs,
    100,
  );
  if (!ready) throw new Error('no prebuild is ready');
}

/** When the agent of the latest build told that it is ready, at or after this. */
async function untilReadySince({ sql }: ClaimBed, workspaceId: string, since: Date): Promise<Date> {
  let at: Date | undefined;
  await waitFor(
    async () => {
      const [row] = await sql<{ at: Date }[]>`
        select a.ready_at as at from workspaces w join workspace_builds b on b.id = w.latest_build_id
        join workspace_resources r on r.job_id = b.job_id
        join workspace_agents a on a.resource_id = r.id and not a.deleted and a.lifecycle_state = 'ready'
        where w.id = ${workspaceId} and a.ready_at >= ${since}`;
      at = row?.at;
      return at !== undefined;
    },
    limitMs,
    lookEveryMs,
  );
  if (at === undefined) throw new Error(`the agent of ${workspaceId} is not ready after ${limitMs} ms`);
  return at;
}
