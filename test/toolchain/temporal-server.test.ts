import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Connection } from '@temporalio/client';
import proto from '@temporalio/proto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { searchAttributeNames } from '../../domain/search-attributes.ts';
import { waitFor } from '../../toolchain/process.ts';
import { createProgress } from '../../toolchain/progress.ts';
import { ensureSearchAttributes, missingSearchAttributes } from '../../toolchain/search-attributes.ts';
import { startTemporal } from '../../toolchain/temporal-server.ts';
import type { RunningTemporal } from '../../toolchain/temporal-server.ts';
import { testTemporalCli } from '../support/services.ts';

let dir: string;
let server: RunningTemporal;
let connection: Connection;
const namespace = 'default';
const workflowQueue = proto.temporal.api.enums.v1.TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW;

const start = (preferredPort = 0): Promise<RunningTemporal> =>
  startTemporal({
    cli: testTemporalCli(),
    // Settings for clients of another server must not reach this one.
    env: { PATH: '/usr/bin:/bin', HOME: dir, TEMPORAL_ADDRESS: 'elsewhere:7233' },
    logFile: join(dir, 'temporal.log'),
    dbFile: join(dir, 'temporal.db'),
    preferredPort,
    preferredUiPort: 0,
  });

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'berth-temporal-'));
  server = await start();
  connection = await Connection.connect({ address: server.address });
});
afterAll(async () => {
  await connection.close();
  await server.stop();
  rmSync(dir, { recursive: true, force: true });
});

const startWorkflow = (workflowId: string, priorityKey: number) =>
  connection.workflowService.startWorkflowExecution({
    namespace,
    workflowId,
    workflowType: { name: 'probe' },
    taskQueue: { name: 'priorities' },
    requestId: workflowId,
    priority: { priorityKey },
    searchAttributes: {
      indexedFields: {
        BerthWorkspace: {
          metadata: { encoding: Buffer.from('json/plain'), type: Buffer.from('Keyword') },
          data: Buffer.from(JSON.stringify(workflowId)),
        },
      },
    },
  });

test('workflows wait in the order of their priority and carry our search attributes', async () => {
  for (const [id, priority] of [
    ['pool', 4],
    ['import', 2],
    ['automatic', 3],
    ['interactive', 1],
  ] as const)
    await startWorkflow(id, priority);
  // A start answers before its task has reached the queue.
  const waiting = async (): Promise<number> => {
    const queue = { namespace, taskQueue: { name: 'priorities' }, taskQueueType: workflowQueue, reportStats: true };
    const { stats } = await connection.workflowService.describeTaskQueue(queue);
    return Number(stats?.approximateBacklogCount ?? 0);
  };
  expect(await waitFor(async () => (await waiting()) === 4, 10_000)).toBe(true);
  const order: string[] = [];
  while (order.length < 4) {
    const task = await connection.withDeadline(Date.now() + 30_000, () =>
      connection.workflowService.pollWorkflowTaskQueue({ namespace, taskQueue: { name: 'priorities' } }),
    );
    const id = task.workflowExecution?.workflowId;
    if (id != null && id !== '') order.push(id);
  }
  expect(order).toEqual(['interactive', 'import', 'automatic', 'pool']);
});

test('every search attribute is registered as a keyword', async () => {
  const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
  const keyword = proto.temporal.api.enums.v1.IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD;
  for (const name of searchAttributeNames) expect(customAttributes[name], name).toBe(keyword);
});

test('search attributes that an existing cluster lacks are registered', async () => {
  const output: string[] = [];
  const progress = createProgress({ write: (text) => output.push(text), interactive: false });
  await connection.operatorService.removeSearchAttributes({ namespace, searchAttributes: ['BerthReason'] });
  expect(await missingSearchAttributes(connection, namespace)).toEqual(['BerthReason']);
  expect(await ensureSearchAttributes(connection, namespace, progress)).toEqual([]);
  expect(await missingSearchAttributes(connection, namespace)).toEqual([]);
  expect(output).toEqual([]);
});

test('when they cannot be registered the warning is the command for the operator', async () => {
  const output: string[] = [];
  const progress = createProgress({ write: (text) => output.push(text), interactive: false });
  const missing = await ensureSearchAttributes(connection, 'no-such-namespace', progress);
  expect(missing).toEqual([...searchAttributeNames]);
  expect(output.join('')).toContain(
    'temporal operator search-attribute create --namespace no-such-namespace --name BerthWorkspace',
  );
});

test('the Web UI answers', async () => {
  const response = await fetch(server.uiUrl ?? '');
  expect(response.status).toBe(200);
});

test('workflows are still there after a kill -9 and a start on the same port', async () => {
  await startWorkflow('survivor', 1);
  process.kill(server.identity.pid, 'SIGKILL');
  await server.exited;
  await connection.close();
  const port = Number(server.address.split(':')[1]);
  server = await start(port);
  expect(server.address).toBe(`127.0.0.1:${port}`);
  connection = await Connection.connect({ address: server.address });
  const { workflowExecutionInfo } = await connection.workflowService.describeWorkflowExecution({
    namespace,
    execution: { workflowId: 'survivor' },
  });
  expect(workflowExecutionInfo?.execution?.workflowId).toBe('survivor');
});
