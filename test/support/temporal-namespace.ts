import type { Connection } from '@temporalio/client';
import Long from 'long';
import { randomUUID } from 'node:crypto';
import { searchAttributeNames } from '../../domain/search-attributes.ts';

/** A namespace per stack: task queues and workflow ids of parallel test files never meet. */
export async function createNamespace(connection: Connection): Promise<string> {
  const namespace = `test-${randomUUID().slice(0, 8)}`;
  await connection.workflowService.registerNamespace({
    namespace,
    workflowExecutionRetentionPeriod: { seconds: Long.fromNumber(24 * 60 * 60) },
  });
  return namespace;
}

/** The attributes of all workflows, as `up` adds them. */
export async function registerSearchAttributes(connection: Connection, namespace: string): Promise<void> {
  // 2 = Keyword. The dev server adds them to the namespace within a moment.
  await connection.operatorService.addSearchAttributes({
    namespace,
    searchAttributes: Object.fromEntries(searchAttributeNames.map((name) => [name, 2])),
  });
}
