import type { Db } from '../db/client.ts';
import type { ColumnCipher } from '../db/encryption.ts';
import { listAgentsByInstanceId } from '../db/queries/agent-tokens.ts';
import { agentTokenPlace } from '../db/queries/provisioned-resources.ts';
import { DomainError } from '../domain/errors.ts';
import { chooseIdentity } from '../domain/instance-identity.ts';

/**
 * Token of the agent that runs on a machine whose id was verified. Throws NOT_FOUND (no agent, or none with this name),
 * INVALID_INPUT (only builds of the past had this machine), CONFLICT (several agents and no name). Source: spec/05 §2.
 */
export const createExchangeInstanceIdentity = ({ db, cipher }: { db: Db; cipher: ColumnCipher }) =>
  async function exchangeInstanceIdentity(input: { instanceId: string; agentName: string }): Promise<string> {
    const choice = chooseIdentity(await listAgentsByInstanceId(db, input.instanceId), input.agentName);
    switch (choice.kind) {
      case 'found': {
        const { agentId, authTokenEnc, authTokenEncKeyId } = choice.candidate;
        return cipher.decrypt(agentTokenPlace(agentId), authTokenEncKeyId, authTokenEnc).toString();
      }
      case 'unknown':
        throw new DomainError('NOT_FOUND', 'No agent belongs to this machine');
      case 'outdated':
        throw new DomainError('INVALID_INPUT', 'The build of this machine is not the latest of its workspace');
      case 'ambiguous':
        throw new DomainError('CONFLICT', `Several agents belong to this machine: ${choice.names.join(', ')}`, {
          detail: 'State agent_name',
        });
      case 'unknown-name':
        throw new DomainError('NOT_FOUND', 'No agent with this name belongs to this machine');
    }
  };
