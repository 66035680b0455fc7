import {
  Client,
  Connection,
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
  defaultGrpcRetryOptions,
  makeGrpcRetryInterceptor,
} from '@temporalio/client';
import type { TLSConfig } from '@temporalio/client';
import { TypedSearchAttributes, defineSearchAttributeKey } from '@temporalio/common';
import { readFileSync } from 'node:fs';
import type { Config } from '../config.ts';
import type { WorkflowSearchAttributes } from '../domain/search-attributes.ts';
import { CONTROL_TASK_QUEUE } from '../domain/ids.ts';

/** One workflow start. The workflow id makes it idempotent: a second start of the same id changes nothing. */
export interface WorkflowStart {
  readonly workflowType: string;
  readonly workflowId: string;
  /** One object; ids and short names only (spec/07 §10.2). */
  readonly input: object;
  /** Temporal priority key, 1 = first. */
  readonly priority: number;
  /** One line for the Temporal Web UI. */
  readonly summary: string;
  readonly searchAttributes: WorkflowSearchAttributes;
  /** Start it anew when an earlier workflow of this id was closed without its work being done (terminated by an operator). */
  readonly again?: boolean;
}

/** What commands need of Temporal: small, so that tests can record it. */
export interface TemporalStarter {
  /** Resolves when the workflow exists, whoever started it; rejects when the server did not answer in time. */
  start(start: WorkflowStart): Promise<void>;
  /** Asks for cancellation; a workflow that is closed or unknown is fine. */
  cancel(workflowId: string): Promise<void>;
  /** Whether the server answers. */
  isReachable(): Promise<boolean>;
}

/** How long a request waits for Temporal before it leaves the start to the sweep (design §1). */
export const requestDeadlineMs = 1_000;
/** What nobody waits for may take longer: a storm of starts makes a busy server slow, and starting them again later makes it slower. */
export const backgroundDeadlineMs = 5_000;

/** Address, TLS and API key, as both the client's and the worker's connection take them. */
export function nativeConnectionOptions(config: Config): { address: string; tls?: TLSConfig; apiKey?: string } {
  const read = (path: string | undefined) => (path === undefined ? undefined : readFileSync(path));
  const crt = read(config.TEMPORAL_TLS_CERT_PATH);
  const key = read(config.TEMPORAL_TLS_KEY_PATH);
  const ca = read(config.TEMPORAL_TLS_CA_PATH);
  const tls = {
    ...(crt !== undefined && key !== undefined && { clientCertPair: { crt, key } }),
    ...(ca !== undefined && { serverRootCACertificate: ca }),
  };
  return {
    address: config.TEMPORAL_ADDRESS ?? '127.0.0.1:7233',
    ...(Object.keys(tls).length > 0 && { tls }),
    ...(config.TEMPORAL_API_KEY !== undefined && { apiKey: config.TEMPORAL_API_KEY }),
  };
}

/**
 * A client that connects on first use, so that an API replica starts and serves reads while Temporal is down; each call has to be
 * answered within `deadlineMs`, retries included. `withDeadline` of the SDK would do the same by an `AsyncLocalStorage`, which makes
 * every promise of the process dearer.
 */
export function lazyClient(config: Config, deadlineMs: number): Client {
  const retrying = makeGrpcRetryInterceptor(defaultGrpcRetryOptions());
  return new Client({
    connection: Connection.lazy({
      ...nativeConnectionOptions(config),
      interceptors: [(options, next) => retrying({ ...options, deadline: Date.now() + deadlineMs }, next)],
    }),
    namespace: config.TEMPORAL_NAMESPACE,
  });
}

const typedAttributes = (attributes: WorkflowSearchAttributes) =>
  new TypedSearchAttributes(
    Object.entries(attributes).map(([name, value]) => ({ key: defineSearchAttributeKey(name, 'KEYWORD'), value })),
  );

/** `deadlineMs` undefined = the client sees to it (`lazyClient`). */
export function createTemporalStarter(client: Client, deadlineMs?: number): TemporalStarter {
  const inTime = <T>(call: () => Promise<T>): Promise<T> =>
    deadlineMs === undefined ? call() : client.withDeadline(Date.now() + deadlineMs, call);
  return {
    async start(start) {
      try {
        await inTime(() =>
          client.workflow.start(start.workflowType, {
            workflowId: start.workflowId,
            taskQueue: CONTROL_TASK_QUEUE,
            args: [start.input],
            workflowIdReusePolicy: start.again === true ? 'ALLOW_DUPLICATE' : 'REJECT_DUPLICATE',
            staticSummary: start.summary,
            priority: { priorityKey: start.priority },
            typedSearchAttributes: typedAttributes(start.searchAttributes),
          }),
        );
      } catch (err) {
        if (!(err instanceof WorkflowExecutionAlreadyStartedError)) throw err;
      }
    },
    async cancel(workflowId) {
      try {
        await inTime(() => client.workflow.getHandle(workflowId).cancel());
      } catch (err) {
        if (!(err instanceof WorkflowNotFoundError)) throw err;
      }
    },
    async isReachable() {
      try {
        await inTime(() => client.workflowService.getSystemInfo({}));
        return true;
      } catch {
        return false;
      }
    },
  };
}

/** Whether a workflow of this id is still running. Rejects when the server cannot be asked. */
export async function isWorkflowOpen(client: Client, workflowId: string): Promise<boolean> {
  try {
    const { status } = await client.workflow.getHandle(workflowId).describe();
    return status.name === 'RUNNING';
  } catch (err) {
    if (err instanceof WorkflowNotFoundError) return false;
    throw err;
  }
}
