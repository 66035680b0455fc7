import { DomainError } from '../domain/errors.ts';
import type { ExternalAuthProvider, TemplateDefinition } from '../domain/provisioned.ts';
import { compareBytes } from '../domain/text-order.ts';
import { invalidTemplate } from './attributes.ts';
import type { TerraformInstance } from './instances.ts';
import { type JsonObject, blocksAt, flagAt, mapAt, objectAt, textAt, textsAt } from './json.ts';
import { moduleInstances, readDataSources } from './plan.ts';
import { readParameters } from './template-parameters.ts';
import { readPresets } from './template-presets.ts';

/**
 * What the start plan of an import says about the template: parameters, presets, external auth, tags. Throws DomainError
 * INVALID_TEMPLATE with a text for the author. Source: spec/02 §2.3, §2.5–§2.7.
 */
export function readTemplateDefinition(plan: JsonObject): TemplateDefinition {
  const read = readDataSources(plan);
  refuseDeferred(plan);
  const ofType = (type: string) => read.filter((instance) => instance.type === type);
  const parameters = readParameters(ofType('coder_parameter'));
  const { presets, warnings } = readPresets(ofType('coder_workspace_preset'), parameters);
  const agents = [...moduleInstances(objectAt(objectAt(plan, 'planned_values'), 'root_module'))].filter(
    (instance) => instance.type === 'coder_agent',
  );
  const pooled = presets.filter((preset) => preset.desiredInstances !== null);
  return {
    parameters,
    presets,
    externalAuthProviders: readExternalAuth(ofType('coder_external_auth')),
    workspaceTags: readWorkspaceTags(ofType('coder_workspace_tags'), plan),
    warnings: [
      ...warnings,
      ...(pooled.length > 0 && agents.length > 1
        ? [
            `The template has prebuilds (${pooled.map((preset) => preset.name).join(', ')}) and ${agents.length} agents: ` +
              'one token is carried over at a claim, so with several agents a claim renews the tokens and updates what uses them.',
          ]
        : []),
    ],
  };
}

const definingTypes = new Set([
  'coder_parameter',
  'coder_workspace_preset',
  'coder_workspace_tags',
  'coder_external_auth',
]);

/**
 * A data source that depends on something not yet created is read during apply; it stands in `planned_values` without its
 * computed values and cannot be shown to anybody who creates a workspace.
 */
function refuseDeferred(plan: JsonObject): void {
  const planned = [...moduleInstances(objectAt(objectAt(plan, 'planned_values'), 'root_module'))];
  const deferred = planned.filter((instance) => instance.mode === 'data' && definingTypes.has(instance.type));
  if (deferred.length === 0) return;
  const names = deferred.map((instance) => {
    const name = textAt(instance.values, 'name');
    return name === '' ? instance.address : `${instance.address} ("${name}")`;
  });
  throw new DomainError(
    'INVALID_TEMPLATE',
    `${names.join(', ')}: depends on a resource that does not exist yet, so it can only be read during apply. ` +
      'Remove the dependency on resources.',
  );
}

/** Unique by id; one use that is not optional makes the provider necessary (spec/02 §2.7). */
function readExternalAuth(instances: readonly TerraformInstance[]): ExternalAuthProvider[] {
  const providers = new Map<string, boolean>();
  for (const { values } of instances) {
    const id = textAt(values, 'id');
    if (id !== '') providers.set(id, (providers.get(id) ?? true) && flagAt(values, 'optional'));
  }
  return [...providers].map(([id, optional]) => ({ id, optional })).toSorted((a, b) => compareBytes(a.id, b.id));
}

/** What a tag may be made of: everything that is known without a workspace (spec/02 §2.3). */
const pureReference = /^(var|local|data\.coder_parameter|path|terraform)(\.|$)/;

/** Tags as evaluated by the plan. They choose the worker pool, so only the root module may set them. */
function readWorkspaceTags(
  instances: readonly TerraformInstance[],
  plan: JsonObject,
): { key: string; value: string }[] {
  const tags = new Map<string, string>();
  for (const instance of instances) {
    if (instance.modulePath !== '')
      throw invalidTemplate(instance, 'coder_workspace_tags may only stand in the root module.');
    const impure = tagReferences(plan, instance).find((reference) => !pureReference.test(reference));
    if (impure !== undefined)
      throw invalidTemplate(
        instance,
        `the tags (${[...mapAt(instance.values, 'tags').keys()].join(', ')}) use ${impure}; ` +
          'only variables, parameters, literals and functions of them are possible.',
      );
    for (const [key, value] of mapAt(instance.values, 'tags')) tags.set(key, value);
  }
  return [...tags].map(([key, value]) => ({ key, value })).toSorted((a, b) => compareBytes(a.key, b.key));
}

function tagReferences(plan: JsonObject, instance: TerraformInstance): readonly string[] {
  const root = objectAt(objectAt(plan, 'configuration'), 'root_module');
  const resource = blocksAt(root, 'resources').find((one) => textAt(one, 'address') === instance.label);
  return textsAt(objectAt(objectAt(resource ?? {}, 'expressions'), 'tags'), 'references');
}
