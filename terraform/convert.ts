import type {
  ProvisionedAgent,
  ProvisionedResource,
  ProvisionedResourceMetadata,
  ProvisionedResources,
  TemplateReferences,
} from '../domain/provisioned.ts';
import type { Transition } from '../domain/jobs.ts';
import { type Attachment, createAttachment } from './attach.ts';
import { integerOf, invalidTemplate, limited } from './attributes.ts';
import { checkAgentNames, convertAgent } from './convert-agents.ts';
import { type ChildrenOf, slugOf } from './convert-children.ts';
import { convertDevcontainer, convertSubAgent, devcontainerNames } from './convert-devcontainers.ts';
import { instanceIdOf, instanceTypeOf } from './instance-identity.ts';
import { type TerraformInstance, byAddress } from './instances.ts';
import { type JsonObject, blockAt, blocksAt, flagAt, numberAt, textAt } from './json.ts';

export interface ConvertInput {
  /** Of a plan, a raw state or a shown state. Read only, also when frozen. */
  readonly instances: readonly TerraformInstance[];
  /** Made at import from the version's start plan. */
  readonly references: TemplateReferences;
  /** Mints a uuid; the order of the calls is fixed. */
  readonly newId: () => string;
  /**
   * Default `start`. Agents are made by a start only: those that a stop's state still has would never connect, and make the stopped
   * workspace look unhealthy (spec/05 §1).
   */
  readonly transition?: Transition;
}

/** Types that describe the workspace to the platform and are no infrastructure of their own (spec/02 §4.2). */
const virtualTypes: ReadonlySet<string> = new Set([
  'coder_agent',
  'coder_agent_instance',
  'coder_app',
  'coder_script',
  'coder_env',
  'coder_metadata',
  'coder_devcontainer',
  'coder_ai_task',
]);

/**
 * Instances of one run → the rows of one run. Pure but for `newId`; the answer does not depend on the order of the
 * instances. Throws DomainError INVALID_TEMPLATE with a text for the template's author. Source: spec/02 §4.2–§4.9.
 */
export function convertResources(input: ConvertInput): ProvisionedResources {
  const managed = input.instances.filter((instance) => instance.mode === 'managed').toSorted(byAddress);
  const attachment = createAttachment(managed, input.references);
  const ofType = (type: string) => managed.filter((instance) => instance.type === type);
  const warnings: string[] = [];

  const agents = ofType('coder_agent');
  checkAgentNames(agents);
  const agentsByHost = convertAgents({ ...input, instances: managed }, attachment, agents, warnings);
  checkSlugs([...agentsByHost.values()].flat());
  const described = describeResources(
    ofType('coder_metadata'),
    attachment,
    input.transition === undefined || input.transition === 'start' ? warnings : [],
  );

  const resources = managed
    .filter((instance) => !virtualTypes.has(instance.type))
    .map((instance): ProvisionedResource => {
      const description = described.get(instance.address);
      return {
        id: input.newId(),
        address: instance.address,
        type: limited(instance, 'the type', instance.type, 192),
        name: limited(instance, 'the name', instance.name, 64),
        hide: description?.hide ?? false,
        icon: description?.icon ?? '',
        dailyCost: description?.dailyCost ?? 0,
        instanceType: instanceTypeOf(instance),
        modulePath: instance.modulePath,
        metadata: description?.items ?? [],
        agents: agentsByHost.get(instance.address) ?? [],
      };
    });
  const aiTasks = ofType('coder_ai_task');
  if (aiTasks[1]) throw invalidTemplate(aiTasks[1], 'a template may have only one coder_ai_task.');
  const aiTask = aiTasks[0]?.values;
  return {
    resources,
    dailyCost: resources.reduce((sum, resource) => sum + resource.dailyCost, 0),
    hasExternalAgent: ofType('coder_external_agent').length > 0,
    hasAiTask: aiTask !== undefined,
    aiTaskAppId: aiTask === undefined ? null : taskAppId(aiTask, ofType('coder_app'), resources),
    warnings,
  };
}

/**
 * Id of the app's row that `coder_ai_task` names by its Terraform id. An id that belongs to no app is kept, so that the
 * completion finds no row for it and says so (spec/02 §2.8); null at plan time, when no id is known.
 */
function taskAppId(
  aiTask: JsonObject,
  apps: readonly TerraformInstance[],
  resources: readonly ProvisionedResource[],
): string | null {
  const named = textAt(aiTask, 'app_id') || textAt(blockAt(aiTask, 'sidebar_app') ?? {}, 'id');
  if (named === '') return null;
  const app = apps.find((instance) => textAt(instance.values, 'id') === named);
  const rows = resources.flatMap((resource) => resource.agents.flatMap((agent) => agent.apps));
  return (app && rows.find((row) => row.slug === slugOf(app))?.id) ?? named;
}

/** Agents with all their children, by the address of the resource they run on; none of a run that starts nothing. */
function convertAgents(
  { instances, newId, transition = 'start' }: ConvertInput,
  attachment: Attachment,
  agents: readonly TerraformInstance[],
  warnings: string[],
): Map<string, ProvisionedAgent[]> {
  if (transition !== 'start') return new Map();
  const children = childrenByHost(instances, attachment);
  const childrenOf = (host: TerraformInstance): ChildrenOf => children.get(host.address) ?? noChildren;
  const takenNames = new Set(agents.map((agent) => agent.name.toLowerCase()));
  const byHost = new Map<string, ProvisionedAgent[]>();
  for (const agent of agents) {
    const host = attachment.resourceOf(agent);
    if (host === null) {
      warnings.push(`${agent.address}: no resource uses this agent (its token or init_script), so it was left out.`);
      continue;
    }
    const own = childrenOf(agent);
    const names = devcontainerNames(own.devcontainers);
    const devcontainers = own.devcontainers.map((instance, index) => {
      const inside = childrenOf(instance);
      const hasChildren = inside.apps.length + inside.scripts.length + inside.envs.length > 0;
      const name = names[index] ?? instance.name;
      return { ...convertDevcontainer(instance, { name, hasChildren, newId }), instance, inside };
    });
    const instanceId = instanceIdOf(agent, host, instances, attachment);
    const parent = convertAgent(agent, { children: own, devcontainers, instanceId, newId });
    const list = byHost.get(host.address) ?? [];
    list.push(parent);
    for (const { instance, row, inside } of devcontainers) {
      const { subagentId } = row;
      if (subagentId === null) continue;
      list.push(
        convertSubAgent(parent, {
          devcontainer: instance,
          row: { ...row, subagentId },
          children: inside,
          takenNames,
          newId,
        }),
      );
    }
    byHost.set(host.address, list);
  }
  return byHost;
}

const noChildren: ChildrenOf = { apps: [], scripts: [], envs: [], devcontainers: [] };
const kindOf = new Map<string, keyof ChildrenOf>([
  ['coder_app', 'apps'],
  ['coder_script', 'scripts'],
  ['coder_env', 'envs'],
  ['coder_devcontainer', 'devcontainers'],
]);

function childrenByHost(instances: readonly TerraformInstance[], attachment: Attachment) {
  const byHost = new Map<string, Record<keyof ChildrenOf, TerraformInstance[]>>();
  for (const child of instances) {
    const kind = kindOf.get(child.type);
    const host = kind === undefined ? null : attachment.hostOf(child);
    if (kind === undefined || host === null) continue;
    const children = byHost.get(host.address) ?? { apps: [], scripts: [], envs: [], devcontainers: [] };
    children[kind].push(child);
    byHost.set(host.address, children);
  }
  return byHost;
}

/** Slugs are part of URLs of the whole workspace, so one slug on two agents is an error, too (spec/02 §4.6). */
function checkSlugs(agents: readonly ProvisionedAgent[]): void {
  const taken = new Map<string, string>();
  for (const agent of agents) {
    for (const { slug } of agent.apps) {
      const other = taken.get(slug);
      if (other !== undefined)
        throw invalidTemplate(
          `coder_app "${slug}"`,
          `the slug is used twice in this workspace, by apps of the agents ${other} and ${agent.name}.`,
        );
      taken.set(slug, agent.name);
    }
  }
}

interface Description {
  readonly by: string;
  readonly hide: boolean;
  readonly icon: string;
  readonly dailyCost: number;
  readonly items: readonly ProvisionedResourceMetadata[];
}

/** What each `coder_metadata` says, by the address of the instance it describes (spec/02 §4.9). */
function describeResources(
  metadata: readonly TerraformInstance[],
  attachment: Attachment,
  warnings: string[],
): Map<string, Description> {
  const described = new Map<string, Description>();
  for (const instance of metadata) {
    const { values } = instance;
    const description: Description = {
      by: instance.address,
      hide: flagAt(values, 'hide'),
      icon: limited(instance, 'icon', textAt(values, 'icon'), 256),
      dailyCost: integerOf(instance, 'daily_cost', numberAt(values, 'daily_cost')),
      items: blocksAt(values, 'item')
        .filter((item) => item['is_null'] !== true && item['value'] !== null && item['value'] !== undefined)
        .map((item) => ({
          key: limited(instance, 'item.key', textAt(item, 'key'), 1024),
          value: limited(instance, 'item.value', textAt(item, 'value'), 65_536),
          sensitive: flagAt(item, 'sensitive'),
        })),
    };
    const targets = attachment.targetsOf(instance);
    if (targets.length === 0) warnings.push(`${instance.address}: describes no resource of this workspace.`);
    for (const target of targets) {
      const other = described.get(target.address);
      if (other !== undefined)
        throw invalidTemplate(instance, `${target.address} already has metadata, from ${other.by}.`);
      described.set(target.address, description);
    }
  }
  return described;
}
