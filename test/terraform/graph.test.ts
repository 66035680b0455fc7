import fc from 'fast-check';
import { expect, test } from 'vitest';
import { dependencyGraph, nearest, readGraph } from '../../terraform/graph.ts';
import { indexText, labelOf } from '../../terraform/instances.ts';
import { addressOfReference } from '../../terraform/references.ts';

test('edges are read, declarations, attributes and subgraphs are not', () => {
  const dot = [
    'digraph G {',
    '  rankdir = "RL";',
    '  "a.b" [label="a.b -> c.d"];',
    '  subgraph "cluster_module.m" {',
    '    "module.m.a.b" [label="a.b"];',
    '  }',
    '  "module.m.a.b" -> "a.b";',
    String.raw`  "odd\"name" -> "c.d" [style="dashed"];`,
    '}',
  ].join('\n');
  expect(readGraph(dot)).toEqual([
    ['module.m.a.b', 'a.b'],
    ['odd"name', 'c.d'],
  ]);
});

test('a text that is no graph has no edges', () => {
  expect(readGraph('')).toEqual([]);
  expect(readGraph('Error: -> "x"')).toEqual([]);
});

test('the nearest accepted label does not depend on the order of the edges', () => {
  const label = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f');
  fc.assert(
    fc.property(fc.array(fc.tuple(label, label)), (edges) => {
      const search = (list: typeof edges) => {
        const graph = dependencyGraph(list);
        return nearest('a', graph.dependentsOf, (one) => one >= 'd');
      };
      expect(search(edges.toReversed())).toBe(search(edges));
    }),
  );
});

test.each([
  ['module.a[0].module.b["x.y"].coder_app.c["k]\\"["]', 'module.a.module.b.coder_app.c'],
  ['data.coder_workspace.me', 'data.coder_workspace.me'],
  ['a.b[10]', 'a.b'],
])('the label of %s is %s', (address, label) => expect(labelOf(address)).toBe(label));

test('removing keys gives the label back, whatever the key', () => {
  fc.assert(fc.property(fc.string(), (key) => labelOf(`m.n${indexText(key)}`) === 'm.n'));
});

test.each([
  ['coder_agent.main[0].id', 'coder_agent.main[0]'],
  ['coder_agent.main', 'coder_agent.main'],
  ['module.m["a.b"].coder_agent.main.id', 'module.m["a.b"].coder_agent.main'],
  ['x.y["a.b"].id', 'x.y["a.b"]'],
])('the reference %s means %s', (reference, address) => expect(addressOfReference(reference)).toBe(address));
