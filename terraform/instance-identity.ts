import type { Attachment } from './attach.ts';
import { limited } from './attributes.ts';
import type { TerraformInstance } from './instances.ts';
import { textAt, textOrNullAt } from './json.ts';

const typeAttribute = new Map([
  ['google_compute_instance', 'machine_type'],
  ['aws_instance', 'instance_type'],
  ['aws_spot_instance_request', 'instance_type'],
  ['azurerm_linux_virtual_machine', 'size'],
  ['azurerm_windows_virtual_machine', 'size'],
]);
const idAttribute = new Map([
  ['google_compute_instance', 'instance_id'],
  ['aws_instance', 'id'],
  ['aws_spot_instance_request', 'spot_instance_id'],
  ['azurerm_linux_virtual_machine', 'virtual_machine_id'],
  ['azurerm_windows_virtual_machine', 'virtual_machine_id'],
]);

/** Machine size that the cloud's own resource states (spec/02 §4.2). */
export function instanceTypeOf(instance: TerraformInstance): string | null {
  const attribute = typeAttribute.get(instance.type);
  return attribute === undefined ? null : limited(instance, attribute, textAt(instance.values, attribute), 256) || null;
}

/**
 * Cloud instance by which an agent may authenticate: the `coder_agent_instance` that names it, else its host's own id.
 * Agents with `auth = "token"` never get one. Source: spec/02 §4.4.
 */
export function instanceIdOf(
  agent: TerraformInstance,
  host: TerraformInstance,
  instances: readonly TerraformInstance[],
  attachment: Attachment,
): string | null {
  if (textAt(agent.values, 'auth') === 'token') return null;
  for (const instance of instances) {
    if (instance.type !== 'coder_agent_instance' || attachment.hostOf(instance)?.address !== agent.address) continue;
    const id = textOrNullAt(instance.values, 'instance_id');
    if (id !== null) return id;
  }
  const attribute = idAttribute.get(host.type);
  return attribute === undefined ? null : textOrNullAt(host.values, attribute);
}
