import { Context } from '@temporalio/activity';
import { readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isUuid } from '../domain/ids.ts';
import { parseObject, numberAt, textAt, textOrNullAt } from '../terraform/json.ts';
import { isProcessAlive, ownProcessId } from '../terraform/process-identity.ts';

const recordFile = (jobDirectory: string): string => join(jobDirectory, 'delivery.json');

/** Names the activity and the worker process that have a job: the worker may die without another word. */
export function recordDelivery(jobDirectory: string): void {
  const { workflowExecution, activityId } = Context.current().info;
  const path = recordFile(jobDirectory);
  const record = { ...workflowExecution, activityId, ...ownProcessId() };
  writeFileSync(`${path}.draft`, JSON.stringify(record), { mode: 0o600 });
  renameSync(`${path}.draft`, path);
}

export interface LostDelivery {
  readonly jobId: string;
  readonly activity: { readonly workflowId: string; readonly runId: string; readonly activityId: string };
}

/** Deliveries to workers of this host that are dead now. */
export function listLostDeliveries(workRoot: string): readonly LostDelivery[] {
  const lost: LostDelivery[] = [];
  for (const jobId of readdirSync(workRoot).filter(isUuid)) {
    const record = readRecord(join(workRoot, jobId));
    if (
      record === null ||
      isProcessAlive({ pid: numberAt(record, 'pid'), startTime: textOrNullAt(record, 'startTime') })
    )
      continue;
    const [workflowId, runId, activityId] = ['workflowId', 'runId', 'activityId'].map((key) => textAt(record, key));
    if (workflowId && runId && activityId) lost.push({ jobId, activity: { workflowId, runId, activityId } });
  }
  return lost;
}

function readRecord(jobDirectory: string) {
  try {
    return parseObject(readFileSync(recordFile(jobDirectory), 'utf8'));
  } catch {
    return null;
  }
}
