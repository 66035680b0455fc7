import { describe, expect, test } from 'vitest';
import { DomainError } from '../../domain/errors.ts';
import type { TemplateReferences } from '../../domain/provisioned.ts';
import { convertResources } from '../../terraform/convert.ts';
import type { TerraformInstance } from '../../terraform/instances.ts';
import { agentsOf } from './support/comparable.ts';
import { agent, countedIds, deepFrozen, instance, references } from './support/instances.ts';

const convert = (instances: readonly TerraformInstance[], refs: Partial<TemplateReferences> = {}) =>
  convertResources({ instances, references: references(refs), newId: countedIds() });

/** A machine that runs the agent. */
const machine = (name: string, agentLabel = 'coder_agent.main') => [`test_machine.${name}`, agentLabel] as const;
const app = (name: string, values: Record<string, unknown> = {}) =>
  instance(`coder_app.${name}`, { agent_id: 'id-of-main', slug: name, ...values });

const refused = (instances: readonly TerraformInstance[], refs: Partial<TemplateReferences> = {}): string => {
  try {
    convert(instances, refs);
  } catch (err) {
    if (err instanceof DomainError && err.code === 'INVALID_TEMPLATE') return err.message;
    throw err;
  }
  throw new Error('nothing was refused');
};

test('no instances give no rows', () => {
  expect(convert([])).toEqual({
    resources: [],
    dailyCost: 0,
    hasExternalAgent: false,
    hasAiTask: false,
    aiTaskAppId: null,
    warnings: [],
  });
});

test('the types that describe the workspace are no rows, an external agent and an unknown coder type are', () => {
  const types = ['agent_instance', 'app', 'script', 'env', 'metadata', 'devcontainer', 'ai_task'];
  const virtual = types.map((type) => instance(`coder_${type}.x`, { resource_id: '', run_on_start: true }));
  const rows = convert([
    ...virtual,
    instance('coder_external_agent.x'),
    instance('coder_future.x'),
    instance('null_resource.x'),
  ]);
  expect(rows.resources.map((resource) => resource.type)).toEqual([
    'coder_external_agent',
    'coder_future',
    'null_resource',
  ]);
});

test('data sources never become rows', () => {
  expect(convert([instance('data.docker_image.x')]).resources).toEqual([]);
});

describe('names of agents', () => {
  const one = (address: string) => instance(address, { auth: 'token' });
  test('letters, digits and single hyphens are fine, also upper case', () => {
    expect(convert([one('coder_agent.main'), one('coder_agent.Dev-2')]).warnings).toHaveLength(2);
  });
  test('an underscore gets a text of its own', () => {
    expect(refused([one('coder_agent.my_agent')])).toMatch(/underscores are not supported, use hyphens/);
  });
  test('a double hyphen is refused', () => {
    expect(refused([one('coder_agent.a--b')])).toMatch(/"a--b" is not valid/);
  });
  test.each([
    ['case', ['coder_agent.main', 'coder_agent.Main']],
    ['count', ['coder_agent.main[0]', 'coder_agent.main[1]']],
    ['two modules', ['module.a.coder_agent.main', 'module.b.coder_agent.main']],
  ])('one name twice is refused: %s', (_title, addresses) => {
    expect(refused(addresses.map(one))).toMatch(/used twice/);
  });
});

describe('slugs of apps', () => {
  const rows = (...apps: TerraformInstance[]) =>
    convert([agent('main'), instance('test_machine.m'), ...apps], { edges: [machine('m')] });
  test('an invalid slug is refused with the address', () => {
    expect(() => rows(app('a', { slug: 'Bad_Slug' }))).toThrow(/coder_app\.a.*"Bad_Slug"/);
  });
  test('a missing slug is made from the name', () => {
    const [only] = agentsOf(rows(instance('coder_app.My_App', { agent_id: 'id-of-main' })));
    expect(only?.apps.map((one) => one.slug)).toEqual(['my-app']);
  });
  test('one slug on two agents is refused', () => {
    const instances = [
      agent('main'),
      agent('other'),
      instance('test_machine.m'),
      instance('test_machine.o'),
      app('a', { slug: 'code' }),
      app('b', { slug: 'code', agent_id: 'id-of-other' }),
    ];
    const edges = [machine('m'), machine('o', 'coder_agent.other')];
    expect(refused(instances, { edges })).toMatch(/"code".*main and other/);
  });
  test('an unknown sharing level is the owner only', () => {
    const [only] = agentsOf(rows(app('a', { share: 'world' })));
    expect(only?.apps[0]?.sharingLevel).toBe('owner');
  });
  test('texts that no column takes are refused with the address', () => {
    expect(() => rows(app('a', { display_name: 'x'.repeat(65) }))).toThrow(/coder_app\.a: display_name/);
    expect(() => rows(app('a', { group: 'x'.repeat(65) }))).toThrow(/group/);
    expect(() => rows(app('a', { tooltip: 'x'.repeat(2049) }))).toThrow(/tooltip/);
  });
});

describe('agents', () => {
  const only = (values: Record<string, unknown>, ...more: TerraformInstance[]) =>
    agentsOf(
      convert([agent('main', values), instance('test_machine.m', { id: 'vm-1' }), ...more], { edges: [machine('m')] }),
    )[0];

  test('a token that is no uuid is refused', () => {
    expect(() => only({ token: 'guessable' })).toThrow(/not a uuid/);
  });
  test('without token authentication the token is a new one', () => {
    const token = '11111111-1111-4111-8111-111111111111';
    expect(only({ token })?.token).toBe(token);
    expect(only({ token, auth: 'aws-instance-identity' })?.token).not.toBe(token);
  });
  test('missing settings get their defaults', () => {
    expect(only({})).toMatchObject({
      connectionTimeoutSeconds: 120,
      apiKeyScope: 'all',
      environment: null,
      displayApps: ['vscode', 'ssh_helper', 'port_forwarding_helper', 'web_terminal'],
    });
    expect(only({ connection_timeout: 0 })?.connectionTimeoutSeconds).toBe(0);
  });
  test.each([
    ['blocking', { startup_script_behavior: 'blocking' }, true],
    ['non-blocking', { startup_script_behavior: 'non-blocking', login_before_ready: false }, false],
    ['the legacy attribute alone', { login_before_ready: false }, true],
    ['nothing', {}, false],
  ])('login waits for the startup script: %s', (_title, values, expected) => {
    expect(only({ startup_script: 'x', ...values })?.scripts[0]?.startBlocksLogin).toBe(expected);
  });
  test('its own scripts come before every coder_script', () => {
    const script = instance('coder_script.a', { agent_id: 'id-of-main', display_name: 'A', run_on_stop: true });
    const scripts = only({ startup_script: 'up', shutdown_script: 'down' }, script)?.scripts;
    expect(scripts?.map((one) => [one.displayName, one.logPath, one.icon])).toEqual([
      ['Startup Script', 'coder-startup-script.log', '/emojis/25b6.png'],
      ['Shutdown Script', 'coder-shutdown-script.log', '/emojis/25c0.png'],
      ['A', '', ''],
    ]);
  });
  test('a script that would never run is refused', () => {
    const never = { agent_id: 'id-of-main', cron: null, run_on_start: false, run_on_stop: false };
    expect(() => only({}, instance('coder_script.a', never))).toThrow(/at least one of/);
    expect(() => only({}, instance('coder_script.a', { ...never, cron: '@daily', start_blocks_login: true }))).toThrow(
      /needs run_on_start/,
    );
  });
  test('children of an agent that does not exist are ignored', () => {
    expect(only({}, app('stray', { agent_id: 'id-of-nobody' }))?.apps).toEqual([]);
  });
  test('a container with two instances carries the agent once', () => {
    const instances = [agent('main'), instance('test_machine.m[10]'), instance('test_machine.m[2]')];
    const rows = convert(instances, { edges: [machine('m')] });
    expect(rows.resources.map((resource) => [resource.address, resource.agents.length])).toEqual([
      ['test_machine.m[10]', 0],
      ['test_machine.m[2]', 1],
    ]);
  });
  test('a host is found through other resources, but is never a coder type', () => {
    const edges = [
      ['coder_app.url', 'coder_agent.main'],
      ['test_machine.m', 'coder_app.url'],
    ] as const;
    const rows = convert([agent('main'), app('url'), instance('test_machine.m')], { edges });
    expect(rows.resources[0]?.agents.map((one) => one.name)).toEqual(['main']);
  });
  test('a cycle of edges ends the search', () => {
    const edges = [
      ['test_machine.a', 'coder_agent.main'],
      ['coder_agent.main', 'test_machine.a'],
    ] as const;
    expect(convert([agent('main')], { edges }).warnings).toHaveLength(1);
  });
});

describe('transitions', () => {
  test.each(['stop', 'delete'] as const)(
    'a %s makes no agent, though its state still has it and its machine',
    (transition) => {
      const instances = deepFrozen([
        agent('main'),
        app('a'),
        agent('lonely'),
        instance('test_machine.m'),
        instance('coder_metadata.m', { daily_cost: 7 }),
      ]);
      const refs = references({ edges: [machine('m')], metadataOf: { 'coder_metadata.m': 'test_machine.m' } });
      const run = (of: 'start' | 'stop' | 'delete') =>
        convertResources({ instances, references: refs, newId: countedIds(), transition: of });
      expect(agentsOf(run('start')).map(({ name }) => name)).toEqual(['main']);
      const { resources, dailyCost, warnings } = run(transition);
      expect(resources.map(({ address, agents }) => [address, agents])).toEqual([['test_machine.m', []]]);
      expect([dailyCost, warnings]).toEqual([7, []]);
    },
  );
});

describe('dev containers', () => {
  const containers = (...addresses: string[]) =>
    agentsOf(
      convert(
        [
          agent('main'),
          instance('test_machine.m'),
          ...addresses.map((address) => instance(address, { agent_id: 'id-of-main', subagent_id: `sub-${address}` })),
        ],
        { edges: [machine('m')] },
      ),
    )[0];
  const namesOf = (...addresses: string[]) => containers(...addresses)?.devcontainers.map(({ name }) => name);

  test('of one name in two modules are told apart by a number', () => {
    const three = ['module.a.coder_devcontainer.dc', 'module.b.coder_devcontainer.dc', 'coder_devcontainer.dc'];
    expect(namesOf(...three)).toEqual(['dc', 'dc-2', 'dc-3']);
    // Neither log sources nor scripts are mixed up.
    expect(containers(...three)?.scripts.map(({ displayName }) => displayName)).toEqual([
      'Dev Container (dc)',
      'Dev Container (dc-2)',
      'Dev Container (dc-3)',
    ]);
  });
  test('never get a name that somebody wrote', () => {
    expect(
      namesOf('module.a.coder_devcontainer.dc', 'module.b.coder_devcontainer.dc', 'module.c.coder_devcontainer.dc-2'),
    ).toEqual(['dc', 'dc-3', 'dc-2']);
  });
  test('of different agents may have the same name', () => {
    const instances = [
      agent('main'),
      agent('other'),
      instance('test_machine.m'),
      instance('test_machine.o'),
      instance('module.a.coder_devcontainer.dc', { agent_id: 'id-of-main' }),
      instance('module.b.coder_devcontainer.dc', { agent_id: 'id-of-other' }),
    ];
    const made = agentsOf(convert(instances, { edges: [machine('m'), machine('o', 'coder_agent.other')] }));
    expect(made.flatMap((one) => one.devcontainers.map(({ name }) => name))).toEqual(['dc', 'dc']);
  });
  test('whose names a sub-agent cannot have get one that it can', () => {
    const long = `${'a'.repeat(59)}-b`;
    const rows = convert(
      [
        agent('main'),
        instance('test_machine.m'),
        instance(`coder_devcontainer.${long}`, { agent_id: 'id-of-main', subagent_id: 'sub' }),
        app('a', { agent_id: 'sub' }),
      ],
      { edges: [machine('m')] },
    );
    expect(agentsOf(rows).map(({ name }) => name)).toEqual(['main', 'a'.repeat(59)]);
  });
});

describe('instance identity', () => {
  const convertHost = (type: string, values: Record<string, unknown>, auth: string) =>
    agentsOf(
      convert([agent('main', { auth }), instance(`${type}.m`, values)], { edges: [[`${type}.m`, 'coder_agent.main']] }),
    )[0];
  test.each([
    ['google_compute_instance', { instance_id: 'i-1' }],
    ['aws_instance', { id: 'i-1' }],
    ['aws_spot_instance_request', { spot_instance_id: 'i-1' }],
    ['azurerm_linux_virtual_machine', { virtual_machine_id: 'i-1' }],
    ['azurerm_windows_virtual_machine', { virtual_machine_id: 'i-1' }],
  ])('comes from the host: %s', (type, values) => {
    expect(convertHost(type, values, 'some-identity')?.instanceId).toBe('i-1');
    expect(convertHost(type, values, 'token')?.instanceId).toBeNull();
  });
  test('the machine size is taken from the cloud resource', () => {
    const rows = convert([instance('aws_instance.m', { instance_type: 't3.large' }), instance('test_machine.m')]);
    expect(rows.resources.map((resource) => resource.instanceType)).toEqual(['t3.large', null]);
  });
});

describe('metadata', () => {
  const metadata = (address: string, values: Record<string, unknown> = {}) => instance(address, values);
  test('a known id decides, whatever the references say', () => {
    const rows = convert(
      [
        instance('test_disk.a', { id: 'disk-a' }),
        instance('test_disk.b', { id: 'disk-b' }),
        metadata('coder_metadata.m', { resource_id: 'disk-b', daily_cost: 3 }),
      ],
      { metadataOf: { 'coder_metadata.m': 'test_disk.a' } },
    );
    expect(rows.resources.map((resource) => resource.dailyCost)).toEqual([0, 3]);
  });
  test('an id that two resources share does not decide', () => {
    const rows = convert(
      [
        instance('test_disk.a', { id: 'same' }),
        instance('test_disk.b', { id: 'same' }),
        metadata('coder_metadata.m', { resource_id: 'same', daily_cost: 3 }),
      ],
      { metadataOf: { 'coder_metadata.m': 'test_disk.b' } },
    );
    expect(rows.resources.map((resource) => resource.dailyCost)).toEqual([0, 3]);
  });
  test('without key it describes every instance of the label', () => {
    const rows = convert(
      [instance('test_disk.d[0]'), instance('test_disk.d[1]'), metadata('coder_metadata.m', { daily_cost: 2 })],
      { metadataOf: { 'coder_metadata.m': 'test_disk.d' } },
    );
    expect(rows.dailyCost).toBe(4);
  });
  test('with keys on both sides it describes the instance with the same key', () => {
    const rows = convert(
      [
        instance('test_disk.d["a"]'),
        instance('test_disk.d["b"]'),
        metadata('coder_metadata.m["a"]', { daily_cost: 1 }),
        metadata('coder_metadata.m["b"]', { daily_cost: 2 }),
      ],
      { metadataOf: { 'coder_metadata.m': 'test_disk.d' } },
    );
    expect(rows.resources.map((resource) => resource.dailyCost)).toEqual([1, 2]);
  });
  test('two for one instance are refused', () => {
    const instances = [instance('test_disk.d'), metadata('coder_metadata.m'), metadata('coder_metadata.n')];
    const metadataOf = { 'coder_metadata.m': 'test_disk.d', 'coder_metadata.n': 'test_disk.d' };
    expect(refused(instances, { metadataOf })).toMatch(
      /coder_metadata\.n: test_disk\.d already has metadata, from coder_metadata\.m/,
    );
  });
  test('the graph decides last, nearest first', () => {
    const edges = [
      ['coder_metadata.m', 'test_disk.near'],
      ['test_disk.near', 'test_disk.far'],
    ] as const;
    const rows = convert(
      [instance('test_disk.far'), instance('test_disk.near'), metadata('coder_metadata.m', { daily_cost: 1 })],
      { edges },
    );
    expect(rows.resources.map((resource) => [resource.name, resource.dailyCost])).toEqual([
      ['far', 0],
      ['near', 1],
    ]);
  });
  test('null items are left out, empty ones are kept', () => {
    const item = [
      { key: 'a', value: '', sensitive: true },
      { key: 'b', value: '', is_null: true },
      { key: 'c', value: null },
    ];
    const rows = convert([instance('test_disk.d'), metadata('coder_metadata.m', { item })], {
      metadataOf: { 'coder_metadata.m': 'test_disk.d' },
    });
    expect(rows.resources[0]?.metadata).toEqual([{ key: 'a', value: '', sensitive: true }]);
  });
  test('a cost that no column takes is refused', () => {
    const instances = [instance('test_disk.d'), metadata('coder_metadata.m', { daily_cost: 2 ** 40 })];
    expect(refused(instances)).toMatch(/daily_cost/);
  });
});

test('an environment conflict fails the conversion', () => {
  const env = (name: string, strategy: string) =>
    instance(`coder_env.${name}`, { agent_id: 'id-of-main', name: 'A', value: '1', merge_strategy: strategy });
  const instances = [agent('main'), instance('test_machine.m'), env('a', 'replace'), env('b', 'error')];
  expect(refused(instances, { edges: [machine('m')] })).toMatch(/coder_env\.b.*A/);
});

test('two AI tasks are refused, the legacy sidebar block is read', () => {
  const task = (name: string) => instance(`coder_ai_task.${name}`, { sidebar_app: [{ id: 'app-1' }] });
  expect(refused([task('a'), task('b')])).toMatch(/only one coder_ai_task/);
  expect(convert([task('a')])).toMatchObject({ hasAiTask: true, aiTaskAppId: 'app-1' });
});
