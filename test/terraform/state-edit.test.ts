import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addressText, parseTarget } from '../../terraform/addresses.ts';
import { indexText } from '../../terraform/instances.ts';
import { forgetInState } from '../../terraform/state-edit.ts';
import { parseState } from '../../terraform/state.ts';

interface Instance {
  readonly key: string | number | null;
  readonly deposed?: string;
  /** Its other members, as text that a parser would not print again like this. */
  readonly body: string;
}
interface Resource {
  readonly module: string;
  readonly mode: 'managed' | 'data';
  readonly type: string;
  readonly name: string;
  readonly instances: readonly Instance[];
}

/** A state as text, as Terraform indents it or in one line: what is expected is printed by the same hand. */
function stateOf(resources: readonly Resource[], serial: number, pretty: boolean): string {
  const [line, colon] = pretty ? [(depth: number) => `\n${'  '.repeat(depth)}`, ': '] : [() => '', ':'];
  const list = (items: readonly string[], depth: number): string =>
    items.length === 0 ? '[]' : `[${items.map((item) => line(depth) + item).join(',')}${line(depth - 1)}]`;
  const instance = ({ key, deposed, body }: Instance): string => {
    const index = key === null ? '' : `"index_key"${colon}${JSON.stringify(key)},`;
    return `{${index}${deposed === undefined ? '' : `"deposed"${colon}"${deposed}",`}${body}}`;
  };
  const resource = ({ module, mode, type, name, instances }: Resource): string => {
    const place = module === '' ? '' : `"module"${colon}${JSON.stringify(module)},`;
    return `{${place}"mode"${colon}"${mode}","type"${colon}"${type}","name"${colon}"${name}","instances"${colon}${list(instances.map(instance), 3)}}`;
  };
  const head = `"version"${colon}4,"serial"${colon}${serial},"lineage"${colon}"l","outputs"${colon}{"n":{"value":10000000000000000000001.50,"serial":7}}`;
  return `{${line(1)}${head},"resources"${colon}${list(resources.map(resource), 2)},${line(1)}"check_results"${colon}null}\n`;
}

const addressOf = (resource: Resource, key?: Instance['key']): string =>
  `${resource.module === '' ? '' : `${resource.module}.`}${resource.mode === 'data' ? 'data.' : ''}${resource.type}.${resource.name}${indexText(key ?? null)}`;
const modulesOf = (path: string): string[] => {
  const steps = parseTarget(path === '' ? 'module.none' : path)!.module;
  return path === '' ? [] : steps.map((_, index) => addressText({ module: steps.slice(0, index + 1) }));
};

const key = fc.oneof(
  fc.nat(20),
  fc.string({ unit: 'binary', maxLength: 6 }).filter((text) => !text.includes('\0')),
  fc.constantFrom('0', 'a.b[c]', '"', '\\', '${x}', '%{y}', '$${z}', ']', 'é\u0001😀'),
);
const moduleStep = fc.record({ name: fc.constantFrom('a', 'b', 'a-b', 'module'), key: fc.option(key) });
const body = fc.constantFrom(
  '"schema_version":0,"attributes":{"id":"x","big":123456789012345678901234567890,"float":1.10}',
  '"attributes":{"text":"\\u003c]}[{\\"\\\\ ,\\u00e9 é","empty":{},"list":[ ],"serial":3}',
  '"attributes":{"resources":[{"instances":[]}],"index_key":"no"},"dependencies":["t.n","module.a.t.n"]',
);
const resource = fc
  .record({
    module: fc.array(moduleStep, { maxLength: 2 }).map((module) => addressText({ module })),
    mode: fc.constantFrom('managed' as const, 'data' as const),
    type: fc.constantFrom('t', 'u_v'),
    name: fc.constantFrom('n', 'n-2', 'module', 'data'),
    instances: fc.oneof(
      body.map((text) => [{ key: null, body: text }]),
      fc.uniqueArray(fc.record({ key, body }), { minLength: 1, maxLength: 4, selector: (one) => indexText(one.key) }),
    ),
  })
  .map((one) => one as Resource);
const resources = fc.uniqueArray(resource, { minLength: 1, maxLength: 8, selector: (one) => addressOf(one) });

describe('forgetting', () => {
  test('takes out what the address names and leaves every other character as it was', () => {
    fc.assert(
      fc.property(
        resources,
        fc.nat(),
        fc.nat(),
        fc.constantFrom('instance', 'resource', 'module'),
        fc.boolean(),
        (all, pick, second, what, pretty) => {
          const chosen = all[pick % all.length]!;
          const one = chosen.instances[second % chosen.instances.length]!;
          const modules = modulesOf(chosen.module);
          const module = modules[second % Math.max(1, modules.length)];
          const goes = (each: Resource, instance: Instance): boolean => {
            if (what === 'module' && module !== undefined) return modulesOf(each.module).includes(module);
            if (addressOf(each) !== addressOf(chosen)) return false;
            return what !== 'instance' || one.key === null || instance.key === one.key;
          };
          const address =
            what === 'module' && module !== undefined
              ? module
              : addressOf(chosen, what === 'instance' ? one.key : undefined);
          // A module without a key means its instances with one, too: that is another test's.
          if (what === 'module' && module !== undefined && !address.endsWith(']')) return;
          const kept = all
            .map((each) => ({ ...each, instances: each.instances.filter((instance) => !goes(each, instance)) }))
            .filter(({ instances }) => instances.length > 0);
          const edit = forgetInState(Buffer.from(stateOf(all, 41, pretty)), address);
          if (edit.kind !== 'edited') throw new Error(`${edit.kind}: ${address}`);
          expect(edit.bytes.toString()).toBe(stateOf(kept, 42, pretty));
          expect(edit.serial).toBe(42);
          expect(edit.forgotten.toSorted()).toEqual(
            all
              .flatMap((each) =>
                each.instances.filter((instance) => goes(each, instance)).map((i) => addressOf(each, i.key)),
              )
              .toSorted(),
          );
        },
      ),
      { numRuns: 400 },
    );
  });

  const res = (module: string, name: string, ...keys: (string | number | null)[]): Resource => ({
    module,
    mode: 'managed',
    type: 't',
    name,
    instances: keys.map((each) => ({ key: each, body: '"attributes":{}' })),
  });
  const forget = (all: readonly Resource[], address: string) =>
    forgetInState(Buffer.from(stateOf(all, 1, true)), address);
  const forgotten = (all: readonly Resource[], address: string) => {
    const edit = forget(all, address);
    return edit.kind === 'edited' ? edit.forgotten : edit.kind;
  };

  test('a module without a key means all its instances where the path ends, and none further up', () => {
    const all = [res('module.m[0]', 'a', null), res('module.m[1].module.n', 'b', null), res('module.mm', 'c', null)];
    expect(forgotten(all, 'module.m')).toEqual(['module.m[0].t.a', 'module.m[1].module.n.t.b']);
    expect(forgotten(all, 'module.m[1]')).toEqual(['module.m[1].module.n.t.b']);
    expect(forgotten(all, 'module.m.module.n')).toBe('unknown');
    expect(forgotten(all, 'module.m.t.a')).toBe('unknown');
  });

  test('an instance goes with its deposed objects', () => {
    const one = res('', 'a', 0, 1);
    const all = [
      { ...one, instances: [...one.instances, { key: 0, deposed: 'cafe', body: '"attributes":{"id":"old"}' }] },
    ];
    const edit = forget(all, 't.a[0]');
    expect(edit).toMatchObject({ kind: 'edited', forgotten: ['t.a[0]'] });
    expect(edit.kind === 'edited' && edit.bytes.includes('deposed')).toBe(false);
  });

  test('keys are compared by what they say, numbers and texts apart', () => {
    const all = [res('', 'a', 0, '0', 'é"${x}')];
    expect(forgotten(all, 't.a[0]')).toEqual(['t.a[0]']);
    expect(forgotten(all, 't.a["0"]')).toEqual(['t.a["0"]']);
    expect(forgotten(all, String.raw`  t.a["\u00e9\"$${'${'}x}"] `)).toEqual([String.raw`t.a["é\"$${'${'}x}"]`]);
  });

  test('what is no address, or nothing in the state, changes nothing and is answered with what there is', () => {
    const data = { ...res('', 'd', null), mode: 'data' as const };
    const all = [data, res('', 'a', null), res('module.m', 'b', 0)];
    const wrong = [
      '',
      ' ',
      'a',
      't',
      't.',
      '.t.a',
      't..a',
      't.a.x',
      't.a[',
      't.a[]',
      't.a[x]',
      "t.a['0']",
      't.a["\\q"]',
    ]
      .concat(['module', 'module.', 'module.x', 'module.m.t', 't.d', 'data.t.a', 't.a[0]', 'module.m[0]', 't[0].a'])
      .concat(['t.a\0', 'a'.repeat(2_000), `t.a["${'\\'.repeat(2_001)}"]`, 'module.m.t.b[00000000000000000001]']);
    for (const address of wrong)
      expect([address, forget(all, address)]).toEqual([
        address,
        { kind: 'unknown', existing: ['t.a', 'module.m.t.b[0]', 'data.t.d'] },
      ]);
  });

  test.each(['', '{}', 'null', '{"version":4,"serial":1,"lineage":"l","resources":[', '\uFEFF{}'])(
    'a text that is no state (%j) is not touched',
    (text) => expect(forgetInState(Buffer.from(text), 't.a')).toEqual({ kind: 'unreadable' }),
  );

  test('bytes that are no UTF-8 stay what they are', () => {
    const text = stateOf([res('', 'a', null), res('', 'b', null)], 1, false);
    const [before = '', after = ''] = text.split('"attributes":{}}]},');
    const odd = Buffer.concat([Buffer.from(`${before}"attributes":{"x":"`), Buffer.from([0xff, 0xe2, 0x28])]);
    const bytes = Buffer.concat([odd, Buffer.from(`"}}]},${after}`)]);
    expect(parseState(bytes)?.instances).toHaveLength(2);
    const edit = forgetInState(bytes, 't.b');
    expect(edit.kind === 'edited' && edit.bytes.includes(Buffer.from([0xff, 0xe2, 0x28, 0x22]))).toBe(true);
  });
});

test('an address reads back as it is written', () => {
  fc.assert(
    fc.property(fc.array(moduleStep, { maxLength: 3 }), fc.option(key), fc.boolean(), (module, index, data) => {
      const mode = data ? ('data' as const) : ('managed' as const);
      const target = { module, resource: { mode, type: 't', name: 'n', key: index } };
      expect(parseTarget(addressText(target))).toEqual(target);
    }),
  );
});
