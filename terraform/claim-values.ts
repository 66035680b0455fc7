import type { ClaimVariable, ClaimVariablePart } from '../domain/provisioned.ts';
import type { ClaimGraph } from './claim-graph.ts';
import { type ClaimModule, type ClaimResource, isAlwaysThere } from './claim-modules.ts';
import { HclScanner } from './hcl-scanner.ts';
import { labelOf } from './instances.ts';
import { type JsonObject, blocksAt, objectAt, objectOf, textAt } from './json.ts';

/** Attributes that whoever hands over knows, and that the provider never gives as an empty text. */
const owner = /^data\.coder_workspace_owner\.[\w-]+\.(id|name|full_name|email)$/;
const workspace = /^data\.coder_workspace\.[\w-]+\.(id|name)$/;
const coalesce = /^coalesce\(\s*((?:data|local)\.[\w.-]+)\s*,[^()]*\)$/;
const maxHops = 16;

export interface ClaimFacts {
  readonly plan: JsonObject;
  readonly graph: ClaimGraph;
  /** Object of the graph → what it follows from. */
  readonly causes: ReadonlyMap<string, string>;
}

/**
 * A `coder_env` that follows the owner, as a text of parts that are known before Terraform runs; null when there is more to it:
 * another name, agent or number of it, other variables of the same name, a value that has to be computed.
 */
export function claimVariable(resource: ClaimResource, facts: ClaimFacts): ClaimVariable | null {
  const { graph, causes } = facts;
  const [body, ...others] = resource.bodies;
  if (body === undefined || others.length > 0 || body.blocks.length > 0) return null;
  if (causes.has(`${resource.label}#`) || !isAlwaysThere(resource)) return null;
  const name = constantOf(resource, 'name');
  const strategy =
    'merge_strategy' in objectAt(resource.config, 'expressions') ? constantOf(resource, 'merge_strategy') : 'replace';
  const agent = agentOf(resource, facts);
  const value = partsOf(body.attributes.get('value')?.text ?? '', resource.module, 0);
  if (name === null || strategy !== 'replace' || agent === null || value === null) return null;
  if (graph.resources.some((other) => other !== resource && mayAlsoSet(other, name))) return null;
  // The agent's own variables win over every `coder_env`.
  if (mayHaveItself(facts.plan, agent, name)) return null;
  return { agent: agent.label, name, value };
}

const constantOf = ({ config }: ClaimResource, argument: string): string | null => {
  const value = objectAt(objectAt(config, 'expressions'), argument)['constant_value'];
  return typeof value === 'string' ? value : null;
};

/** The one agent that `agent_id` leads to, through variables, locals and outputs. */
function agentOf(resource: ClaimResource, { graph, causes }: ClaimFacts): ClaimResource | null {
  const byLabel = new Map(graph.resources.map((each) => [each.label, each]));
  const found = new Set<ClaimResource>();
  const seen = new Set<string>();
  const waiting = [`${resource.label}#agent`];
  for (let object = waiting.pop(); object !== undefined; object = waiting.pop()) {
    if (seen.has(object)) continue;
    seen.add(object);
    if (causes.has(object)) return null;
    const at = byLabel.get(object);
    if (at !== undefined) found.add(at);
    // Whether and how often something is there leads to other resources than the one it is.
    else if (!object.endsWith('#')) waiting.push(...(graph.edges.get(object) ?? []));
  }
  const [agent, ...others] = found;
  return agent?.type === 'coder_agent' && others.length === 0 ? agent : null;
}

function mayAlsoSet(other: ClaimResource, name: string): boolean {
  if (other.type !== 'coder_env') return false;
  const set = constantOf(other, 'name');
  return set === null || set === name;
}

function mayHaveItself(plan: JsonObject, agent: ClaimResource, name: string): boolean {
  if (!('env' in objectAt(agent.config, 'expressions'))) return false;
  if (agent.bodies.some((body) => body.attributes.get('env')?.text.includes(name) !== false)) return true;
  const changes = blocksAt(plan, 'resource_changes').filter((each) => labelOf(textAt(each, 'address')) === agent.label);
  return (
    changes.length === 0 ||
    changes.some(({ change }) => {
      const unknown = objectAt(objectOf(change), 'after_unknown')['env'];
      const known = objectAt(objectAt(objectOf(change), 'after'), 'env');
      return unknown === true || Object.hasOwn(known, name) || Object.hasOwn(objectOf(unknown), name);
    })
  );
}

function partsOf(text: string, module: ClaimModule, hops: number): ClaimVariablePart[] | null {
  if (hops > maxHops) return null;
  const ofOwner = owner.exec(text)?.[1];
  if (ofOwner !== undefined) return [{ of: 'owner', attribute: ofOwner as 'id' | 'name' | 'full_name' | 'email' }];
  const ofWorkspace = workspace.exec(text)?.[1];
  if (ofWorkspace !== undefined) return [{ of: 'workspace', attribute: ofWorkspace as 'id' | 'name' }];
  const local = /^local\.([\w-]+)$/.exec(text)?.[1];
  if (local !== undefined) {
    const [definition, ...others] = module.source.locals.get(local) ?? [];
    return definition === undefined || others.length > 0 ? null : partsOf(definition, module, hops + 1);
  }
  const first = coalesce.exec(text)?.[1];
  if (first !== undefined) {
    const parts = partsOf(first, module, hops + 1);
    // Never empty, so it is the one that is taken.
    return parts?.some((part) => 'of' in part) === true ? parts : null;
  }
  return templateParts(text, module, hops);
}

/** `"…${reference}…"` on one line, without directives. */
function templateParts(text: string, module: ClaimModule, hops: number): ClaimVariablePart[] | null {
  const inner = /^"((?:[^"\\\n]|\\.)*)"$/.exec(text)?.[1];
  if (inner === undefined || inner.includes('%{') || inner.includes('$$')) return null;
  const parts: ClaimVariablePart[] = [];
  for (const [, reference, literal] of inner.matchAll(/\$\{([^{}]*)\}|((?:\\.|[^\\$]|\$(?!\{))+)|[\s\S]/g)) {
    const found =
      literal !== undefined
        ? literalPart(literal)
        : reference !== undefined
          ? partsOf(reference.trim(), module, hops + 1)
          : null;
    if (found === null) return null;
    parts.push(...found);
  }
  return joined(parts);
}

function literalPart(source: string): ClaimVariablePart[] | null {
  const text = new HclScanner(`"${source}"`).quoted();
  return text === null ? null : [{ text }];
}

/** Neighbouring texts as one. */
function joined(parts: readonly ClaimVariablePart[]): ClaimVariablePart[] {
  const all: ClaimVariablePart[] = [];
  for (const part of parts) {
    const last = all.at(-1);
    if (last !== undefined && 'text' in last && 'text' in part) all[all.length - 1] = { text: last.text + part.text };
    else all.push(part);
  }
  return all;
}
