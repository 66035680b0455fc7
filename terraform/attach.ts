import type { TemplateReferences } from '../domain/provisioned.ts';
import { type DependencyGraph, dependencyGraph, nearest } from './graph.ts';
import { type TerraformInstance, byIndex, indexText, isCoderType, labelOf } from './instances.ts';
import { textAt } from './json.ts';

/**
 * Which instance belongs to which. Ids decide where they are known (state), then the references made at import, then the
 * graph. Source: spec/02 §4.4, §4.5, §4.9.
 */
export interface Attachment {
  /** Agent or dev container that a child names; null when it names none that exists. */
  hostOf(child: TerraformInstance): TerraformInstance | null;
  /** Infrastructure that an agent runs on; null when nothing that exists depends on it. */
  resourceOf(agent: TerraformInstance): TerraformInstance | null;
  /** Every instance that a `coder_metadata` describes. */
  targetsOf(metadata: TerraformInstance): readonly TerraformInstance[];
}

/** Agents hang on these: everything that is not the platform's own, and external agents. */
export const isHostResource = (instance: TerraformInstance): boolean =>
  instance.mode === 'managed' && (!isCoderType(instance.type) || instance.type === 'coder_external_agent');

export function createAttachment(instances: readonly TerraformInstance[], references: TemplateReferences): Attachment {
  const managed = instances.filter((instance) => instance.mode === 'managed').toSorted(byIndex);
  const byLabel = new Map<string, TerraformInstance[]>();
  const graph: DependencyGraph = dependencyGraph(references.edges);

  const childHosts = new Map<string, TerraformInstance>();
  const resourceIds = new Map<string, TerraformInstance[]>();
  for (const instance of managed) {
    collect(byLabel, instance.label, instance);
    const id = textAt(instance.values, 'id');
    const hostId = instance.type === 'coder_devcontainer' ? textAt(instance.values, 'subagent_id') : id;
    if (isChildHost(instance) && hostId !== '' && !childHosts.has(hostId)) childHosts.set(hostId, instance);
    if (isHostResource(instance) && id !== '') collect(resourceIds, id, instance);
  }
  const has = (accepts: (instance: TerraformInstance) => boolean) => (label: string) =>
    (byLabel.get(label) ?? []).some(accepts);

  return {
    hostOf(child) {
      const agentId = textAt(child.values, 'agent_id');
      if (agentId !== '') return childHosts.get(agentId) ?? null;
      const reference = references.agentOf[child.label] ?? nearest(child.label, graph.dependenciesOf, has(isChildHost));
      return reference === null ? null : (matching(child, reference, byLabel).find(isChildHost) ?? null);
    },
    resourceOf(agent) {
      const label = nearest(agent.label, graph.dependentsOf, has(isHostResource));
      return label === null ? null : (matching(agent, label, byLabel)[0] ?? null);
    },
    targetsOf(metadata) {
      // Some providers give several resources one id; then only the configuration tells which is meant.
      const withId = resourceIds.get(textAt(metadata.values, 'resource_id')) ?? [];
      if (withId.length === 1) return withId;
      const reference =
        references.metadataOf[metadata.label] ?? nearest(metadata.label, graph.dependenciesOf, has(isHostResource));
      return reference === null ? [] : matching(metadata, reference, byLabel).filter(isHostResource);
    },
  };
}

function collect<T>(lists: Map<string, T[]>, key: string, item: T): void {
  const list = lists.get(key);
  if (list) list.push(item);
  else lists.set(key, [item]);
}

const isChildHost = (instance: TerraformInstance): boolean =>
  instance.type === 'coder_agent' || instance.type === 'coder_devcontainer';

/**
 * Instances of the referenced label, narrowed as far as the configuration tells: a literal key in the reference, the same
 * module instance, the same key. A step that would leave none is skipped.
 */
function matching(
  from: TerraformInstance,
  reference: string,
  byLabel: ReadonlyMap<string, readonly TerraformInstance[]>,
): readonly TerraformInstance[] {
  const narrowed = (list: readonly TerraformInstance[], keep: (instance: TerraformInstance) => boolean) => {
    const kept = list.filter(keep);
    return kept.length === 0 ? list : kept;
  };
  let found = byLabel.get(labelOf(reference)) ?? [];
  if (found.length < 2) return found;
  if (reference.endsWith(']'))
    found = narrowed(found, (to) => reference.endsWith(`${to.name}${indexText(to.indexKey)}`));
  found = narrowed(found, (to) => to.modulePath === from.modulePath);
  if (from.indexKey !== null) found = narrowed(found, (to) => to.indexKey === from.indexKey);
  return found;
}
