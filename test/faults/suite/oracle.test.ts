import { describe, expect, test } from 'vitest';
import { type Effect, parseEffect } from '../../../faults/ledger.ts';
import {
  type History,
  compareWithState,
  findDoubleApplies,
  findInterleavings,
  findOverlap,
  terraformsOf,
  worldOf,
} from '../../../faults/oracle.ts';
import { createRandom } from '../../../faults/random.ts';
import { parseStoredState } from '../../../faults/stored-state.ts';

const address = (name: string) => `module.${name}.terraform_data.object`;
let clock = 1_795_707_925_000_000_000n;
/** One line as the template writes it; each is a millisecond after the one before. */
function line(verb: string, name: string, id: string, { pid = 7, build = 'b1' } = {}): Effect {
  clock += 1_000_000n;
  return parseEffect(`${verb} w ${address(name)} ${id} ${clock} ${pid} ${build}`);
}
const object = (name: string, objectId: string, tainted = false) => ({ address: address(name), objectId, tainted });
const history = (facts: Partial<History>): History => ({
  effects: [],
  stored: [],
  succeeded: true,
  tainted: new Set(),
  possibleOrphans: new Map(),
  ...facts,
});
const kinds = (facts: Partial<History>) => compareWithState(history(facts)).findings.map(({ kind }) => kind);

describe('the ledger', () => {
  test('is read line by line; what is not a whole line is an error and not skipped', () => {
    const effect = parseEffect(`create w ${address('left_disk')} o 1795707925257338570 20050 b`);
    expect(effect).toMatchObject({ verb: 'create', objectId: 'o', terraformPid: 20050, buildId: 'b' });
    expect(effect.atMs).toBeCloseTo(1_795_707_925_257.338, 2);
    for (const torn of ['', 'create w', `create w a o 1795707925257338570 20050`, `made w a o 1795707925257338570 1 b`])
      expect(() => parseEffect(torn)).toThrow('not a line of the ledger');
  });

  test('gives the world: what was created and not destroyed since, whatever was destroyed twice', () => {
    const effects = [
      line('create', 'left_disk', 'o1'),
      line('create', 'left_network', 'o2'),
      line('destroy', 'left_network', 'o2'),
      line('destroy', 'left_network', 'o2'),
    ];
    expect([...worldOf(effects).keys()]).toEqual(['o1']);
  });
});

describe('world against stored state', () => {
  test('nothing is found when they agree', () => {
    const effects = [line('create', 'left_disk', 'o1')];
    expect(compareWithState(history({ effects, stored: [object('left_disk', 'o1')] }))).toEqual({
      findings: [],
      listed: 0,
    });
  });

  test('an object that the state has and the world never had is lost', () => {
    expect(kinds({ stored: [object('left_disk', 'o1')] })).toEqual(['lost']);
  });

  test('an object that is gone and still in the state after a success is lost: the state is an old one', () => {
    const effects = [line('create', 'left_disk', 'o1'), line('destroy', 'left_disk', 'o1')];
    expect(kinds({ effects, stored: [object('left_disk', 'o1')] })).toEqual(['lost']);
  });

  test('an object that the state does not have is an orphan, also after a run that was cut short', () => {
    const effects = [line('create', 'left_disk', 'o1'), line('create', 'left_network', 'o2')];
    for (const succeeded of [true, false])
      expect(kinds({ effects, succeeded, stored: [object('left_disk', 'o1')] })).toEqual(['orphan']);
  });

  test('an orphan that its own build lists is counted as listed; the list of another build does not excuse it', () => {
    const effects = [line('create', 'left_disk', 'o1', { build: 'b1' })];
    const listedBy = (build: string) => new Map([[build, new Set([address('left_disk')])]]);
    expect(compareWithState(history({ effects, possibleOrphans: listedBy('b1') }))).toEqual({
      findings: [],
      listed: 1,
    });
    expect(kinds({ effects, possibleOrphans: listedBy('b2') })).toEqual(['orphan']);
  });

  test('an object that a stored state showed as tainted may disappear without a destroy', () => {
    const effects = [line('create', 'left_disk', 'o1')];
    expect(kinds({ effects, tainted: new Set(['o1']) })).toEqual([]);
  });

  test('what was in progress when a run was cut short is undecided until a build succeeds', () => {
    const made = [object('left_disk', 'o1')];
    expect(kinds({ stored: made, succeeded: false })).toEqual([]);
    const effects = [line('create', 'left_disk', 'o1'), line('destroy', 'left_disk', 'o1')];
    expect(kinds({ effects, stored: made, succeeded: false })).toEqual([]);
  });

  test('a state that is older than what Terraform knew when it was cut short is found by the chain that went on', () => {
    const effects = [
      line('create', 'left_disk', 'o1'),
      line('create', 'left_network', 'o2'),
      line('destroy', 'left_network', 'o2'),
      line('destroy', 'left_disk', 'o1'),
    ];
    const stored = [object('left_disk', 'o1'), object('left_network', 'o2')];
    expect(compareWithState(history({ effects, stored, succeeded: false })).findings).toEqual([
      { kind: 'lost', what: expect.stringContaining('left_network') },
    ]);
    // The other chain says nothing about it.
    const other = [...effects.slice(0, 3), line('create', 'right_disk', 'o3')];
    const all = [...stored, object('right_disk', 'o3')];
    expect(kinds({ effects: other, stored: all, succeeded: false })).toEqual([]);
  });
});

describe('double applies', () => {
  const twice = () => [
    line('create', 'left_disk', 'o1', { build: 'b1', pid: 1 }),
    line('create', 'left_disk', 'o2', { build: 'b1', pid: 2 }),
  ];
  test('two objects of one address at the same time', () => {
    expect(findDoubleApplies(history({ effects: twice() })).map(({ kind }) => kind)).toEqual(['double_apply']);
  });

  test('one after the other is not double', () => {
    const effects = [
      line('create', 'left_disk', 'o1'),
      line('destroy', 'left_disk', 'o1'),
      line('create', 'left_disk', 'o2'),
    ];
    expect(findDoubleApplies(history({ effects }))).toEqual([]);
  });

  test('a replaced tainted object and a listed possible orphan explain the second one', () => {
    expect(findDoubleApplies(history({ effects: twice(), tainted: new Set(['o1']) }))).toEqual([]);
    const possibleOrphans = new Map([['b1', new Set([address('left_disk')])]]);
    expect(findDoubleApplies(history({ effects: twice(), possibleOrphans }))).toEqual([]);
  });

  test('two Terraforms whose effects interleave', () => {
    const effects = [
      line('create', 'left_disk', 'o1', { pid: 1 }),
      line('create', 'right_disk', 'o2', { pid: 2 }),
      line('create', 'left_network', 'o3', { pid: 1 }),
    ];
    expect(findInterleavings(effects).map(({ kind }) => kind)).toEqual(['double_apply']);
    // The order of the instants counts, not that of the lines.
    expect(findInterleavings([effects[0]!, effects[2]!, effects[1]!])).toHaveLength(1);
    expect(terraformsOf(effects, 'b1')).toEqual([1, 2]);
  });

  test('a second host that has effects while the first one still has its Terraform', () => {
    const effects = [line('create', 'left_disk', 'o1', { pid: 1 }), line('create', 'left_network', 'o2', { pid: 2 })];
    const second = { pids: new Set([2]) };
    const aliveAt = (lastAliveMs: number | null) => findOverlap(effects, { first: { lastAliveMs }, second });
    expect(aliveAt(effects[1]!.atMs + 1).map(({ kind }) => kind)).toEqual(['double_apply']);
    expect(aliveAt(effects[1]!.atMs - 1)).toEqual([]);
    expect(aliveAt(null)).toEqual([]);
    const nobody = { first: { lastAliveMs: effects[1]!.atMs + 1 }, second: { pids: new Set<number>() } };
    expect(findOverlap(effects, nobody)).toEqual([]);
  });

  test('a continuation after the first Terraform, and the Terraforms of two builds, do not', () => {
    const continued = [
      line('create', 'left_disk', 'o1', { pid: 1 }),
      line('create', 'right_disk', 'o2', { pid: 1 }),
      line('create', 'left_network', 'o3', { pid: 2 }),
      line('create', 'right_network', 'o4', { pid: 2 }),
    ];
    expect(findInterleavings(continued)).toEqual([]);
    const builds = [
      line('create', 'left_disk', 'o1', { pid: 1, build: 'b1' }),
      line('create', 'left_disk', 'o1', { pid: 2, build: 'b2' }),
      line('create', 'left_disk', 'o1', { pid: 1, build: 'b1' }),
    ];
    expect(findInterleavings(builds)).toEqual([]);
  });
});

test('a stored state gives addresses, ids and what is tainted; anything else is an error', () => {
  const state = {
    version: 4,
    serial: 9,
    lineage: 'l',
    resources: [
      { mode: 'data', type: 'coder_workspace', name: 'me', instances: [{ attributes: { id: 'd' } }] },
      {
        module: 'module.left_machine[0]',
        mode: 'managed',
        type: 'terraform_data',
        name: 'object',
        instances: [
          { status: 'tainted', attributes: { id: 'o1' } },
          { index_key: 'a', attributes: { id: 'o2' } },
        ],
      },
    ],
  };
  expect(parseStoredState(JSON.stringify(state))).toEqual({
    serial: 9,
    objects: [
      { address: 'module.left_machine[0].terraform_data.object', objectId: 'o1', tainted: true },
      { address: 'module.left_machine[0].terraform_data.object["a"]', objectId: 'o2', tainted: false },
    ],
  });
  expect(() => parseStoredState('{"version":4')).toThrow();
  expect(() => parseStoredState('{"version":3}')).toThrow('format 3');
});

test('one seed gives one sequence, neighbouring seeds give others, all within their bounds', () => {
  const draw = (seed: number) => {
    const random = createRandom(seed);
    return Array.from({ length: 200 }, () => random.between(-5, 5));
  };
  expect(draw(1)).toEqual(draw(1));
  expect(draw(1)).not.toEqual(draw(2));
  const all = [1, 2, 3].flatMap(draw);
  expect(Math.min(...all)).toBeGreaterThanOrEqual(-5);
  expect(Math.max(...all)).toBeLessThan(5);
  // Every tenth of the interval is met.
  expect(new Set(all.map((value) => Math.floor(value))).size).toBe(10);
  const random = createRandom(3);
  expect(new Set(Array.from({ length: 100 }, () => random.pick(['a', 'b', 'c'])))).toEqual(new Set(['a', 'b', 'c']));
});
