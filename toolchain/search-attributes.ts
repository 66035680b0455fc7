import type { Connection } from '@temporalio/client';
import proto from '@temporalio/proto';
import { searchAttributeNames } from '../domain/search-attributes.ts';
import { messageOf } from './failure.ts';
import type { Progress } from './progress.ts';

const { INDEXED_VALUE_TYPE_KEYWORD } = proto.temporal.api.enums.v1.IndexedValueType;

/** Those of our search attributes that the namespace lacks. */
export async function missingSearchAttributes(connection: Connection, namespace: string): Promise<string[]> {
  const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
  return searchAttributeNames.filter((name) => customAttributes?.[name] === undefined);
}

/**
 * Registers our search attributes in a cluster of the operator's. Without the right to do so workflows cannot be started, so the
 * warning names the command that an operator has to run. Returns the names that are still missing.
 */
export async function ensureSearchAttributes(
  connection: Connection,
  namespace: string,
  progress: Progress,
): Promise<string[]> {
  try {
    const missing = await missingSearchAttributes(connection, namespace);
    if (missing.length === 0) return [];
    await connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(missing.map((name) => [name, INDEXED_VALUE_TYPE_KEYWORD])),
    });
    return [];
  } catch (err) {
    const command = searchAttributeNames.map((name) => `--name ${name} --type Keyword`).join(' ');
    progress.warn(
      `the search attributes could not be registered (${messageOf(err)}); builds cannot start without them. An operator has to run:\n` +
        `    temporal operator search-attribute create --namespace ${namespace} ${command}`,
    );
    return [...searchAttributeNames];
  }
}
