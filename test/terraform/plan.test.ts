import { describe, expect, test } from 'vitest';
import { DomainError } from '../../domain/errors.ts';
import { filterPlanForCache } from '../../terraform/plan-cache.ts';
import { findReplacements, parsePlan, planInstances, planSecrets, readReferences } from '../../terraform/plan.ts';
import { deepFrozen } from './support/instances.ts';
import { readRecorded } from './support/terraform-runs.ts';

test('a plan that is cut off is a failure of terraform', () => {
  expect(() => parsePlan('{"format_version":')).toThrow(DomainError);
});

test('old managed resources of prior_state are not taken, read data sources are', () => {
  const resource = (address: string, mode: string) => {
    const [type = '', name = ''] = address.replace('data.', '').split('.');
    return { address, mode, type, name, values: {} };
  };
  const plan = {
    prior_state: {
      values: { root_module: { resources: [resource('data.a.read', 'data'), resource('b.old', 'managed')] } },
    },
    planned_values: {
      root_module: {
        resources: [resource('b.new', 'managed')],
        child_modules: [
          {
            address: 'module.m[0]',
            resources: [{ ...resource('c.d', 'managed'), address: 'module.m[0].c.d[1]', index: 1 }],
          },
        ],
      },
    },
  };
  expect(planInstances(plan).map((one) => [one.address, one.modulePath, one.indexKey])).toEqual([
    ['b.new', '', null],
    ['data.a.read', '', null],
    ['module.m[0].c.d[1]', 'module.m[0]', 1],
  ]);
});

describe('references', () => {
  const resource = (type: string, name: string, expressions: Record<string, string[]>, more: object = {}) => ({
    mode: 'managed',
    type,
    name,
    address: `${type}.${name}`,
    expressions: Object.fromEntries(Object.entries(expressions).map(([key, refs]) => [key, { references: refs }])),
    ...more,
  });
  const planOf = (root: object, present: string[] = []) => ({
    configuration: { root_module: root },
    planned_values: {
      root_module: {
        resources: present.map((address) => {
          const [type, name] = address.split('.');
          return { address, mode: 'managed', type, name, values: {} };
        }),
      },
    },
  });

  test('follow variables through several modules and outputs back', () => {
    const inner = {
      resources: [resource('coder_app', 'in', { agent_id: ['var.id'] })],
      outputs: {},
    };
    const outer = {
      resources: [resource('coder_agent', 'dev', {})],
      outputs: { agent: { expression: { references: ['coder_agent.dev.id', 'coder_agent.dev'] } } },
      module_calls: {
        inner: { expressions: { id: { references: ['coder_agent.dev.id', 'coder_agent.dev'] } }, module: inner },
      },
    };
    const plan = planOf({
      resources: [
        resource('coder_script', 's', { agent_id: ['module.outer.agent', 'module.outer'] }),
        resource('coder_env', 'e', { agent_id: ['local.agent'] }),
      ],
      module_calls: { outer: { module: outer } },
    });
    expect(readReferences(plan, '').agentOf).toEqual({
      'coder_script.s': 'module.outer.coder_agent.dev',
      'module.outer.module.inner.coder_app.in': 'module.outer.coder_agent.dev',
    });
  });

  test('of a conditional mean the agent that exists in the plan', () => {
    const root = {
      resources: [
        resource('coder_agent', 'gpu', {}),
        resource('coder_agent', 'cpu', {}),
        resource('coder_app', 'a', { agent_id: ['var.gpu', 'coder_agent.gpu[0].id', 'coder_agent.cpu[0].id'] }),
      ],
    };
    expect(readReferences(planOf(root, ['coder_agent.cpu']), '').agentOf).toEqual({
      'coder_app.a': 'coder_agent.cpu[0]',
    });
    expect(readReferences(planOf(root), '').agentOf).toEqual({ 'coder_app.a': 'coder_agent.gpu[0]' });
  });

  test.each([
    ['a number', { constant_value: 5 }, true],
    ['a variable', { references: ['var.cost'] }, true],
    // What Terraform writes for a call whose value it does not tell.
    ['a function call', {}, true],
    ['zero', { constant_value: 0 }, false],
    ['null', { constant_value: null }, false],
    ['nothing', undefined, false],
  ])('tell whether anything may cost, in modules too: %s', (_name, cost, mayCost) => {
    const expressions = { resource_id: { references: ['test_disk.d.id'] }, ...(cost && { daily_cost: cost }) };
    const metadata = { mode: 'managed', type: 'coder_metadata', name: 'm', address: 'coder_metadata.m', expressions };
    expect(readReferences(planOf({ resources: [metadata] }), '').mayCost).toBe(mayCost);
    const module = { resources: [metadata] };
    expect(readReferences(planOf({ module_calls: { a: { module } } }), '').mayCost).toBe(mayCost);
  });

  test('that run in a circle end', () => {
    const looped = {
      resources: [
        resource(
          'coder_app',
          'a',
          { agent_id: ['each.value'] },
          { for_each_expression: { references: ['each.value'] } },
        ),
      ],
    };
    expect(readReferences(planOf(looped), '').agentOf).toEqual({});
    const outputs = { outputs: { o: { expression: { references: ['module.m.o'] } } } };
    const selfish = {
      ...outputs,
      module_calls: { m: { module: outputs } },
      resources: [resource('coder_app', 'a', { agent_id: ['module.m.o'] })],
    };
    expect(readReferences(planOf(selfish), '').agentOf).toEqual({});
  });
});

describe('replacements of a claim', () => {
  const change = (address: string, overrides: Record<string, unknown>, type = 'docker_container') => ({
    address,
    type,
    change: { actions: ['delete', 'create'], replace_paths: [['env']], ...overrides },
  });
  const found = (...resource_changes: object[]) => findReplacements({ resource_changes });

  test('are listed with their paths, for both orders and in modules', () => {
    expect(
      found(
        change('docker_container.c', {}),
        change('module.m.docker_container.d', {
          actions: ['create', 'delete'],
          replace_paths: [['name'], ['disk', 0, 'size']],
        }),
      ),
    ).toEqual({ 'docker_container.c': ['env'], 'module.m.docker_container.d': ['name', 'disk.0.size'] });
  });

  test('do not count coder types, no-ops, changes in place and missing changes', () => {
    expect(
      found(
        change('coder_agent.a', {}, 'coder_agent'),
        change('docker_container.n', { actions: ['no-op'] }),
        change('docker_container.u', { actions: ['update'], replace_paths: undefined }),
        change('docker_container.e', { replace_paths: [] }),
        { address: 'x.y', type: 'x' },
      ),
    ).toEqual({});
    expect(findReplacements({})).toEqual({});
  });
});

describe('what a plan hides', () => {
  test('is collected for the redactor', async () => {
    const plan = parsePlan((await readRecorded('measured')).plan);
    expect(planSecrets(plan)).toContain('hunter2-hunter2');
    expect(planSecrets(plan)).not.toContain('debian');
  });

  test('does not get into the cached plan, everything else does', async () => {
    const owner = {
      address: 'data.coder_workspace_owner.me',
      mode: 'data',
      type: 'coder_workspace_owner',
      name: 'me',
      // Older providers mark fewer attributes.
      values: { name: 'ann', session_token: 'secret-1', oidc_access_token: 'secret-2', ssh_private_key: 'secret-3' },
      sensitive_values: {},
    };
    const recorded = parsePlan((await readRecorded('measured')).plan);
    const plan = deepFrozen({
      ...recorded,
      prior_state: { values: { root_module: { resources: [owner], child_modules: [{ resources: [owner] }] } } },
      resource_drift: [
        { type: 't', change: { before: { a: ['secret-4', 'kept'] }, before_sensitive: { a: [true, false] } } },
      ],
      output_changes: { o: { after: 'secret-5', after_sensitive: true, before: 'kept', before_sensitive: false } },
      planned_values: {
        ...(recorded['planned_values'] as object),
        outputs: { o: { sensitive: true, value: 'secret-6' } },
      },
    });
    const text = JSON.stringify(filterPlanForCache(plan));
    expect(text).not.toMatch(/secret-\d|hunter2-hunter2/);
    expect(text).toContain('"name":"ann"');
    expect(text).toContain('kept');
    expect(text).toContain('terraform_data.container[0]');
    expect(filterPlanForCache(plan)).not.toHaveProperty('variables');
    expect(readReferences(filterPlanForCache(recorded), '').agentOf).toEqual(readReferences(recorded, '').agentOf);
  });
});
