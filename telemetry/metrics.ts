import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import { lifecycleEvents } from './lifecycle-events.ts';
import { prebuildEvents } from './prebuild-events.ts';

/**
 * What this process counts. Event metrics are fed at the moment of the event by the attempt that made the database
 * transition, never by workflow code. No ids, names or free text as labels. Source: spec/08 §1, spec/02 §1.8.
 */
export function createMetrics(options: { version: string; defaultMetrics?: boolean }) {
  const registry = new Registry();
  if (options.defaultMetrics ?? true) collectDefaultMetrics({ register: registry });
  const registers = [registry];

  const workspaceBuildsEnqueued = new Counter({
    name: 'coderd_workspace_builds_enqueued_total',
    help: 'Attempts to enqueue a workspace build.',
    labelNames: ['provisioner_type', 'build_reason', 'transition', 'status'] as const,
    registers,
  });
  const queueWait = new Histogram({
    name: 'coderd_provisioner_job_queue_wait_seconds',
    help: 'Time from a job being created to a worker taking it.',
    labelNames: ['provisioner_type', 'job_type', 'transition', 'build_reason'] as const,
    buckets: [0.025, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600, 900, 1800],
    registers,
  });
  const requests = new Counter({
    name: 'coderd_api_requests_processed_total',
    help: 'Finished API requests.',
    labelNames: ['code', 'method', 'path'] as const,
    registers,
  });
  const requestSeconds = new Histogram({
    name: 'coderd_api_request_latencies_seconds',
    help: 'Time to answer an API request.',
    labelNames: ['method', 'path'] as const,
    buckets: [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 10, 30],
    registers,
  });
  const concurrentRequests = new Gauge({
    name: 'coderd_api_concurrent_requests',
    help: 'API requests in flight.',
    registers,
  });
  const concurrentStreams = new Gauge({
    name: 'coderd_api_concurrent_websockets',
    help: 'WebSocket and SSE streams in flight.',
    labelNames: ['path'] as const,
    registers,
  });
  const agents = agentMetrics(registers);
  const purges = purgeMetrics(registers);
  const prebuilds = prebuildEvents(registers);
  const lifecycle = lifecycleEvents(registers);
  const snapshotErrors = new Counter({
    name: 'coderd_metrics_snapshot_errors_total',
    help: 'Reads of the database for gauges that failed: the page shows the values from before.',
    labelNames: ['snapshot'] as const,
    registers,
  });
  const seriesDropped = new Counter({
    name: 'coderd_metrics_series_dropped_total',
    help: 'Series that were left out because there are too many.',
    labelNames: ['family'] as const,
    registers,
  });
  new Gauge({
    name: 'coderd_build_info',
    help: 'Constant 1, labelled with the version.',
    labelNames: ['version'] as const,
    registers,
  }).set({ version: options.version }, 1);

  return {
    registry,
    requests,
    requestSeconds,
    concurrentRequests,
    concurrentStreams,
    ...agents,
    ...purges,
    ...prebuilds,
    ...lifecycle,
    snapshotFailed: (snapshot: string): void => snapshotErrors.inc({ snapshot }),
    seriesDropped: (family: string, count = 1): void => seriesDropped.inc({ family }, count),
    /** `build_reason` is the stored reason, except `prebuild` for builds of the reconciler. */
    buildEnqueued: (labels: {
      provisionerType: string;
      buildReason: string;
      transition: string;
      status: 'success' | 'failed';
    }): void =>
      workspaceBuildsEnqueued.inc({
        provisioner_type: labels.provisionerType,
        build_reason: labels.buildReason,
        transition: labels.transition,
        status: labels.status,
      }),
    /** Imports and dry runs give `''` for transition and reason. Differences below 1 ms count as 1 ms. */
    jobTaken: (
      labels: { provisionerType: string; jobType: string; transition: string; buildReason: string },
      waitSeconds: number,
    ): void =>
      queueWait.observe(
        {
          provisioner_type: labels.provisionerType,
          job_type: labels.jobType,
          transition: labels.transition,
          build_reason: labels.buildReason,
        },
        Math.max(waitSeconds, 0.001),
      ),
  };
}

/** Agent traffic (spec/08 §1.3 "ours"). */
function agentMetrics(registers: Registry[]) {
  const reports = new Counter({
    name: 'coderd_agent_reports_total',
    help: 'Requests of agents by what they report.',
    labelNames: ['kind', 'code'] as const,
    registers,
  });
  const dropped = new Counter({
    name: 'coderd_agent_batch_dropped_total',
    help: 'Reports that were dropped because the database did not keep up.',
    labelNames: ['kind'] as const,
    registers,
  });
  const authCache = new Counter({
    name: 'coderd_agent_auth_cache_requests_total',
    help: 'Agent tokens looked up in memory.',
    labelNames: ['result'] as const,
    registers,
  });
  const flushSeconds = new Histogram({
    name: 'coderd_agent_batch_flush_seconds',
    help: 'Time to write one batch of reports.',
    labelNames: ['kind'] as const,
    buckets: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5],
    registers,
  });
  const subscribers = new Gauge({
    name: 'coderd_agent_stream_subscribers',
    help: 'Watchers and followers of agents at this process.',
    labelNames: ['kind'] as const,
    registers,
  });
  const reinits = new Counter({
    name: 'coderd_agent_reinit_total',
    help: 'Requests of agents that wait for a claim, by how they ended.',
    labelNames: ['outcome'] as const,
    registers,
  });
  return {
    agentReported: (kind: string, code: number): void => reports.inc({ kind, code: String(code) }),
    agentBatchDropped: (kind: string, count: number): void => dropped.inc({ kind }, count),
    agentAuthAsked: (result: 'hit' | 'miss'): void => authCache.inc({ result }),
    agentBatchFlushed: (kind: string, seconds: number): void => flushSeconds.observe({ kind }, seconds),
    agentSubscribers: (kind: string, change: 1 | -1): void => subscribers.inc({ kind }, change),
    agentReinit: (outcome: 'sent_live' | 'sent_replay' | 'conflict' | 'timeout'): void => reinits.inc({ outcome }),
  };
}

/** Retention (spec/08 §1.1). */
function purgeMetrics(registers: Registry[]) {
  const seconds = new Histogram({
    name: 'coderd_dbpurge_iteration_duration_seconds',
    help: 'Time of one run that deletes what is kept no longer.',
    labelNames: ['success'] as const,
    buckets: [0.1, 1, 5, 10, 30, 60, 120, 300, 600],
    registers,
  });
  const records = new Counter({
    name: 'coderd_dbpurge_records_purged_total',
    help: 'Rows that were deleted because they are kept no longer.',
    labelNames: ['record_type'] as const,
    registers,
  });
  return {
    purged: (recordType: string, count: number): void => records.inc({ record_type: recordType }, count),
    purgeEnded: (success: boolean, took: number): void => seconds.observe({ success: String(success) }, took),
  };
}

export type Metrics = ReturnType<typeof createMetrics>;
