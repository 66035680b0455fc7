import { compareBytes } from '../domain/text-order.ts';

/** `[dependent, dependency]`, both labels. */
export type GraphEdge = readonly [string, string];

const quoted = String.raw`"((?:[^"\\]|\\.)*)"`;
const edgeLine = new RegExp(String.raw`^\s*${quoted}\s*->\s*${quoted}`);
const unquote = (text: string): string => text.replace(/\\(.)/g, '$1');

/**
 * Edges of `terraform graph` (without `-type`): nodes are labels and module inputs are already collapsed. Lines that are no
 * edges (attributes, node declarations, `subgraph` braces) carry nothing we need. Source: spec/02 §4.3.
 */
export function readGraph(dot: string): GraphEdge[] {
  const edges: GraphEdge[] = [];
  for (const line of dot.split('\n')) {
    const match = edgeLine.exec(line);
    if (match) edges.push([unquote(match[1] ?? ''), unquote(match[2] ?? '')]);
  }
  return edges.toSorted((a, b) => compareBytes(a[0], b[0]) || compareBytes(a[1], b[1]));
}

export interface DependencyGraph {
  /** Labels that depend on this one. */
  readonly dependentsOf: (label: string) => readonly string[];
  /** Labels that this one depends on. */
  readonly dependenciesOf: (label: string) => readonly string[];
}

export function dependencyGraph(edges: readonly GraphEdge[]): DependencyGraph {
  const dependents = new Map<string, string[]>();
  const dependencies = new Map<string, string[]>();
  const push = (map: Map<string, string[]>, key: string, value: string) => {
    const list = map.get(key);
    if (list) list.push(value);
    else map.set(key, [value]);
  };
  for (const [dependent, dependency] of edges) {
    push(dependents, dependency, dependent);
    push(dependencies, dependent, dependency);
  }
  return {
    dependentsOf: (label) => dependents.get(label) ?? [],
    dependenciesOf: (label) => dependencies.get(label) ?? [],
  };
}

/**
 * Breadth-first search with a visited set: the accepted label at the smallest distance, the alphabetically first among
 * equals, so the answer does not depend on the order of the edges. null when none is reachable.
 */
export function nearest(
  from: string,
  next: (label: string) => readonly string[],
  accepts: (label: string) => boolean,
): string | null {
  const visited = new Set([from]);
  let layer = [from];
  while (layer.length > 0) {
    const following: string[] = [];
    for (const label of layer) {
      for (const neighbour of next(label)) {
        if (visited.has(neighbour)) continue;
        visited.add(neighbour);
        following.push(neighbour);
      }
    }
    const accepted = following.filter(accepts).toSorted(compareBytes);
    if (accepted[0] !== undefined) return accepted[0];
    layer = following;
  }
  return null;
}
