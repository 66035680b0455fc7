import type { ClaimDependencies, ClaimDependent, ClaimVariable } from '../domain/provisioned.ts';
import { compareBytes } from '../domain/text-order.ts';
import { type ClaimGraph, claimGraph } from './claim-graph.ts';
import { type ModuleFiles, add } from './claim-sources.ts';
import { claimVariable } from './claim-values.ts';
import { type JsonObject, isObject } from './json.ts';

/** What a claim may change late: it is shown, and does not reach the agent. */
const shownOnly = new Set(['coder_metadata', 'coder_ai_task']);

/**
 * What of a template follows from who owns a workspace, from its name or from the session. Decided on the configuration alone, so
 * that it holds for every workspace of the version, whatever its parameters are. What cannot be told counts as following. Throws
 * when the plan has no configuration.
 *
 * `plan` is the start plan's JSON; `files` are the sources (claim-sources.ts): the JSON holds no locals, no `dynamic` blocks, no
 * `lifecycle`. Provisioners and connections count for nothing: they run when their resource is made, and that is judged without them.
 */
export function claimDependencies(input: {
  readonly plan: JsonObject;
  readonly files: ModuleFiles;
}): ClaimDependencies {
  const configuration = input.plan['configuration'];
  if (!isObject(configuration) || !isObject(configuration['root_module']))
    throw new Error('the plan has no configuration');
  const graph = claimGraph(configuration, input.files);
  const causes = causesIn(graph);
  const dependents: ClaimDependent[] = [];
  const environment: ClaimVariable[] = [];
  for (const resource of graph.resources) {
    const because = causes.get(resource.label);
    if (because === undefined || !resource.managed || shownOnly.has(resource.type)) continue;
    const variable =
      resource.type === 'coder_env' ? claimVariable(resource, { plan: input.plan, graph, causes }) : null;
    if (variable === null) dependents.push({ address: resource.label, because });
    else environment.push(variable);
  }
  return {
    dependents: dependents.toSorted((a, b) => compareBytes(a.address, b.address)),
    environment: environment.toSorted((a, b) => compareBytes(a.name, b.name)),
  };
}

/** Object → the nearest root that it follows from, the first by name among equals. */
function causesIn({ edges, roots }: ClaimGraph): ReadonlyMap<string, string> {
  const madeOf = new Map<string, string[]>();
  for (const [object, parts] of edges) for (const part of parts) add(madeOf, part, object);
  const causes = new Map([...roots].map((root) => [root, root]));
  let reached = [...causes];
  while (reached.length > 0) {
    const next: [string, string][] = [];
    for (const [part, cause] of reached.toSorted((a, b) => compareBytes(a[1], b[1])))
      for (const object of madeOf.get(part) ?? []) {
        if (causes.has(object)) continue;
        causes.set(object, cause);
        next.push([object, cause]);
      }
    reached = next;
  }
  return causes;
}

/** A line for the log of the version's import. */
export function describeClaim({ dependents }: ClaimDependencies): string {
  const [first, ...others] = dependents;
  if (first === undefined) return 'A claim of a prebuild of this version is handed over at once.';
  const more = others.length === 0 ? '' : ` (so do ${others.length} more)`;
  return `A claim waits for Terraform: ${first.address} depends on ${first.because}${more}.`;
}
