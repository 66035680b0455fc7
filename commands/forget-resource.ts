import { DomainError } from '../domain/errors.ts';
import type { Subject } from '../domain/subject.ts';
import { transaction } from '../db/client.ts';
import type { AuditOrigin } from '../db/queries/audit-logs.ts';
import { type StateVersionRow, findStateFacts, insertStateVersion } from '../db/queries/state-versions.ts';
import { findStateVersion } from '../db/queries/workspace-build-states.ts';
import { packState } from '../db/state-contents.ts';
import { forgetInState } from '../terraform/state-edit.ts';
import { type StateDeps, auditState, authorOf, getStateWorkspace, lockForStateChange } from './operator-state.ts';

export interface ForgetResource {
  readonly workspaceId: string;
  /** Of a resource, one of its instances, or a whole module. */
  readonly address: string;
  readonly origin: AuditOrigin;
}

const listedAddresses = 20;
const auditedAddresses = 100;

/**
 * Takes a resource out of the current state, as a new version; the thing itself is left as it is. Throws INVALID_INPUT naming
 * `address` when the state has no such resource, GONE, CONFLICT and STATE_DAMAGED as a restore does.
 */
export const createForgetResource = (deps: StateDeps) =>
  async function forgetResource(
    subject: Subject,
    input: ForgetResource,
  ): Promise<{ version: StateVersionRow; forgotten: readonly string[] }> {
    const { workspaceId, address } = input;
    await getStateWorkspace(deps.db, subject, workspaceId);
    return transaction(deps.db, async (tx) => {
      const { workspace, latestBuildId: buildId } = await lockForStateChange(tx, workspaceId);
      const current = await findStateFacts(tx, workspaceId);
      const state =
        current === undefined
          ? undefined
          : await findStateVersion(tx, deps.cipher, { workspaceId, version: current.version });
      if (state === undefined || state.bytes.length === 0) throw unknownAddress(address, []);
      const edit = forgetInState(state.bytes, address);
      if (edit.kind === 'unknown') throw unknownAddress(address, edit.existing);
      if (edit.kind === 'unreadable')
        throw new DomainError('CONFLICT', 'The current state is not a Terraform state of version 4', {
          detail: 'restore an earlier version, or push another one',
        });
      const { bytes, serial, forgotten } = edit;
      const version = await insertStateVersion(tx, deps.cipher, {
        workspaceId,
        buildId,
        source: 'forget',
        createdBy: authorOf(subject),
        content: await packState({ bytes, serial, lineage: state.lineage }),
      });
      const fields = { state_forgotten: forgotten.slice(0, auditedAddresses), state_version: version };
      await auditState(tx, deps, { ...input, workspace, buildId, statusCode: 201, fields });
      return { version: (await findStateFacts(tx, workspaceId, version))!, forgotten };
    });
  };

function unknownAddress(address: string, existing: readonly string[]): DomainError {
  const more = existing.length - listedAddresses;
  const listed = existing.slice(0, listedAddresses).join(', ');
  return new DomainError('INVALID_INPUT', `The state has no resource ${address}`, {
    detail:
      existing.length === 0 ? 'it has no resources at all' : `it has ${listed}${more > 0 ? ` and ${more} more` : ''}`,
    validations: [{ field: 'address', detail: 'not in the state' }],
  });
}
