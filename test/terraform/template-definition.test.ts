import { describe, expect, test } from 'vitest';
import { DomainError } from '../../domain/errors.ts';
import { parsePlan } from '../../terraform/plan.ts';
import { readTemplateDefinition } from '../../terraform/template-definition.ts';
import { deepFrozen } from './support/instances.ts';
import { readRecorded } from './support/terraform-runs.ts';

type Values = Record<string, unknown>;
const data = (type: string, name: string, values: Values, module = '') => ({
  address: `${module === '' ? '' : `${module}.`}data.${type}.${name}`,
  mode: 'data',
  type,
  name,
  values,
});
const parameter = (name: string, values: Values = {}) =>
  data('coder_parameter', name, { name, type: 'string', optional: true, mutable: true, form_type: 'input', ...values });
const preset = (name: string, values: Values = {}) => data('coder_workspace_preset', name, { name, ...values });

interface Parts {
  readonly planned?: object[];
  readonly inModule?: object[];
  readonly tagReferences?: string[];
}

const definition = (resources: object[], { planned = [], inModule = [], tagReferences = [] }: Parts = {}) =>
  readTemplateDefinition(
    deepFrozen({
      prior_state: {
        values: { root_module: { resources, child_modules: [{ address: 'module.m', resources: inModule }] } },
      },
      planned_values: { root_module: { resources: planned } },
      configuration: {
        root_module: {
          resources: [{ address: 'data.coder_workspace_tags.t', expressions: { tags: { references: tagReferences } } }],
        },
      },
    }),
  );

const refusal = (...args: Parameters<typeof definition>): string => {
  try {
    definition(...args);
  } catch (err) {
    if (err instanceof DomainError && err.code === 'INVALID_TEMPLATE') return err.message;
    throw err;
  }
  throw new Error('nothing was refused');
};

test('the measured template is read whole', async () => {
  const found = readTemplateDefinition(deepFrozen(parsePlan((await readRecorded('measured')).plan)));
  expect(found.parameters.map((one) => one.name)).toEqual(['debug', 'flavour', 'cpu']);
  expect(found.parameters[2]).toEqual({
    name: 'cpu',
    displayName: '',
    description: 'Number of cores',
    icon: '',
    type: 'number',
    formType: 'input',
    mutable: true,
    defaultValue: '2',
    required: false,
    options: [],
    validationRegex: '',
    validationError: '',
    validationMonotonic: 'increasing',
    validationMin: 1,
    validationMax: 8,
    displayOrder: 2,
    ephemeral: false,
  });
  expect(found.parameters[1]).toMatchObject({
    formType: 'radio',
    options: [
      { name: 'Small', value: 'small', description: '', icon: '' },
      { name: 'Large', value: 'large', description: 'More of it', icon: '/icon/large.svg' },
    ],
  });
  expect(found.parameters[0]).toMatchObject({ type: 'bool', formType: 'checkbox', ephemeral: true });
  expect(found.presets).toEqual([
    {
      name: 'plain',
      description: '',
      icon: '',
      isDefault: false,
      desiredInstances: null,
      invalidateAfterSecs: null,
      schedulingTimezone: '',
      parameters: [{ name: 'flavour', value: 'small' }],
      schedules: [],
      prebuildStatus: 'normal',
      prebuildStatusDetail: '',
    },
    {
      name: 'standard',
      description: 'For most people',
      icon: '',
      isDefault: true,
      desiredInstances: 2,
      invalidateAfterSecs: 86_400,
      schedulingTimezone: 'UTC',
      parameters: [
        { name: 'cpu', value: '2' },
        { name: 'flavour', value: 'large' },
      ],
      schedules: [
        { cronExpression: '* 8-18 * * 1-5', desiredInstances: 5 },
        { cronExpression: '* 8-14 * * 6', desiredInstances: 1 },
      ],
      prebuildStatus: 'normal',
      prebuildStatusDetail: '',
    },
  ]);
  expect(found.externalAuthProviders).toEqual([{ id: 'github', optional: true }]);
  expect(found.workspaceTags).toEqual([
    { key: 'cluster', value: 'dev' },
    { key: 'region', value: 'eu' },
  ]);
  // Two agents and a prebuild preset: a claim cannot carry one token to both.
  expect(found.warnings).toEqual([expect.stringMatching(/standard.*2 agents/)]);
});

test('a plan without any of it gives an empty definition', () => {
  expect(readTemplateDefinition({})).toEqual({
    parameters: [],
    presets: [],
    externalAuthProviders: [],
    workspaceTags: [],
    warnings: [],
  });
});

describe('parameters', () => {
  const validation = (values: Values) => ({ type: 'number', validation: [{ min: 0, max: 0, ...values }] });
  test('a bound that is disabled is none, zero is one', () => {
    const [p] = definition([parameter('p', validation({ min: 1, max_disabled: true }))]).parameters;
    expect(p).toMatchObject({ validationMin: 1, validationMax: null });
    const [q] = definition([parameter('p', validation({ min_disabled: true }))]).parameters;
    expect(q).toMatchObject({ validationMin: null, validationMax: 0 });
  });
  test('without default is required', () => {
    expect(definition([parameter('p', { optional: false, default: null })]).parameters[0]).toMatchObject({
      required: true,
      defaultValue: '',
    });
  });
  test('are sorted by order, then name, wherever they stand', () => {
    const found = definition([parameter('b'), parameter('z', { order: -1 }), parameter('a', { order: 1 })], {
      inModule: [parameter('a2')],
    });
    expect(found.parameters.map((one) => one.name)).toEqual(['z', 'a2', 'b', 'a']);
  });
  test('of one name are refused across modules, every name at once', () => {
    const both = [parameter('a'), parameter('b')];
    expect(refusal([...both, parameter('c')], { inModule: both })).toMatch(/"a", "b" used more than once/);
  });
  test.each([
    ['a look-ahead', { validation: [{ regex: '(?!x)', error: 'e', min_disabled: true, max_disabled: true }] }, /RE2/],
    ['a regex on a number', { type: 'number', validation: [{ regex: 'x', error: 'e' }] }, /type string/],
  ])('with %s are refused with their address', (_title, values, text) => {
    expect(refusal([parameter('p', values)])).toMatch(text);
    expect(refusal([parameter('p', values)])).toContain('data.coder_parameter.p');
  });
  test('that would only be read during apply are refused by name', () => {
    const deferred = data('coder_parameter', 'late', { name: 'late-one', default: null });
    expect(refusal([], { planned: [deferred] })).toMatch(/data\.coder_parameter\.late \("late-one"\).*during apply/);
  });
  test('other data sources may be read during apply', () => {
    expect(definition([], { planned: [data('coder_workspace', 'me', {})] }).parameters).toEqual([]);
  });
});

describe('presets', () => {
  const prebuilds = (values: Values) => ({ prebuilds: [{ instances: 1, ...values }] });
  test('without expiry never expire, with zero instances still have a pool', () => {
    const [one] = definition([preset('p', prebuilds({ instances: 0, expiration_policy: [{ ttl: 0 }] }))]).presets;
    expect(one).toMatchObject({ desiredInstances: 0, invalidateAfterSecs: null, schedulingTimezone: '' });
  });
  const scheduling = (timezone: string | undefined, ...crons: string[]) =>
    prebuilds({ scheduling: [{ timezone, schedule: crons.map((cron) => ({ cron, instances: 1 })) }] });
  test.each([
    [0, null],
    [3600, 3600],
    [31_536_000, 31_536_000],
  ])('with a ttl of %d are read', (ttl, invalidateAfterSecs) => {
    const [one] = definition([preset('p', prebuilds({ expiration_policy: [{ ttl }] }))]).presets;
    expect(one).toMatchObject({ invalidateAfterSecs });
  });
  test('keep their schedules in the order of declaration, each written in one way', () => {
    const [one] = definition([
      preset('p', scheduling('Europe/Berlin', ' *  18-23 * * 1-5', '* 8-17 * * MON-FRI')),
    ]).presets;
    expect(one).toMatchObject({
      schedulingTimezone: 'Europe/Berlin',
      schedules: [
        { cronExpression: '* 18-23 * * 1-5', desiredInstances: 1 },
        { cronExpression: '* 8-17 * * MON-FRI', desiredInstances: 1 },
      ],
    });
  });
  test('without a prebuilds block have no pool', () => {
    const [one] = definition([preset('p')]).presets;
    expect(one).toMatchObject({ desiredInstances: null, schedulingTimezone: '', schedules: [] });
  });
  test('of one name are refused and named', () => {
    const twins = [
      data('coder_workspace_preset', 'a', { name: 'twin' }),
      data('coder_workspace_preset', 'b', { name: 'twin' }),
    ];
    expect(refusal(twins)).toMatch(/"twin" used more than once/);
  });
  test('can have one default only', () => {
    expect(refusal([preset('a', { default: true }), preset('b', { default: true })])).toMatch(/"a", "b" all are/);
  });
  test.each([
    ['no name', preset('', {}), /needs a name/],
    ['an empty value', preset('p', { parameters: { cpu: '' } }), /"cpu" must not be empty/],
    ['a long description', preset('p', { description: 'x'.repeat(129) }), /at most 128/],
    ['negative instances', preset('p', prebuilds({ instances: -1 })), /from 0 on/],
    [
      'negative instances in a schedule',
      preset('p', prebuilds({ scheduling: [{ timezone: 'UTC', schedule: [{ cron: '* 8 * * *', instances: -1 }] }] })),
      /from 0 on/,
    ],
    [
      'minutes in a schedule',
      preset('p', prebuilds({ scheduling: [{ timezone: 'UTC', schedule: [{ cron: '5 8 * * *', instances: 1 }] }] })),
      /five fields, the first/,
    ],
    ['more instances than there are numbers for', preset('p', prebuilds({ instances: 3_000_000_000 })), /from 0 on/],
    ['half an instance', preset('p', prebuilds({ instances: 1.5 })), /whole number/],
    ['too short a ttl', preset('p', prebuilds({ expiration_policy: [{ ttl: 1800 }] })), /ttl.*3600 to 31536000.*1800/],
    ['too long a ttl', preset('p', prebuilds({ expiration_policy: [{ ttl: 63_072_000 }] })), /ttl.*31536000/],
    ['a negative ttl', preset('p', prebuilds({ expiration_policy: [{ ttl: -1 }] })), /ttl/],
    [
      'a time zone that does not exist',
      preset('p', scheduling('InvalidLocation', '* 8 * * *')),
      /InvalidLocation.*IANA/,
    ],
    ['no time zone', preset('p', scheduling('', '* 8 * * *')), /needs a time zone/],
    ['no time zone at all', preset('p', scheduling(undefined, '* 8 * * *')), /needs a time zone/],
    ['scheduling without a schedule', preset('p', scheduling('UTC')), /at least one schedule/],
    ['an hour that does not exist', preset('p', scheduling('UTC', '* 24 * * *')), /hour.*24/],
    [
      'schedules that overlap',
      preset('p', scheduling('UTC', '* 8-18 * * 1-5', '* 18-19 * * 5-6')),
      /"\* 8-18 \* \* 1-5" and "\* 18-19 \* \* 5-6" overlap/,
    ],
    ['schedules that overlap on some date', preset('p', scheduling('UTC', '* 8 15 * 1', '* 8 * * 2')), /overlap/],
  ])('with %s are refused', (_title, one, text) => expect(refusal([one])).toMatch(text));

  test('with an unknown parameter only cause a warning and keep it', () => {
    const found = definition([preset('p', { parameters: { gone: '1' } })]);
    expect(found.warnings).toEqual([expect.stringContaining('"gone"')]);
    expect(found.presets[0]?.parameters).toEqual([{ name: 'gone', value: '1' }]);
  });
  test('with a pool must give every required parameter, else no prebuilds are made', () => {
    const required = parameter('key', { optional: false });
    const found = definition([required, preset('pool', prebuilds({})), preset('plain', {})]);
    expect(found.presets.map((one) => [one.name, one.prebuildStatus])).toEqual([
      ['pool', 'validation_failed'],
      ['plain', 'normal'],
    ]);
    expect(found.presets[0]?.prebuildStatusDetail).toContain('"key"');
    expect(found.warnings).toHaveLength(1);
  });
});

test('external auth is listed once, and is necessary when one use is not optional', () => {
  const auth = (name: string, id: string, optional: boolean) => data('coder_external_auth', name, { id, optional });
  const found = definition([auth('a', 'github', false), auth('b', 'github', true), auth('c', 'gitlab', true)]);
  expect(found.externalAuthProviders).toEqual([
    { id: 'github', optional: false },
    { id: 'gitlab', optional: true },
  ]);
});

describe('workspace tags', () => {
  const tags = data('coder_workspace_tags', 't', { tags: { zone: 'a' } });
  test('may use variables, parameters and locals', () => {
    const tagReferences = ['var.zone', 'data.coder_parameter.cpu.value', 'local.x'];
    expect(definition([tags], { tagReferences }).workspaceTags).toEqual([{ key: 'zone', value: 'a' }]);
  });
  test('may use nothing that needs a workspace', () => {
    const tagReferences = ['data.coder_workspace_owner.me.name'];
    expect(refusal([tags], { tagReferences })).toMatch(/zone.*data\.coder_workspace_owner\.me\.name/);
  });
  test('may only stand in the root module', () => {
    expect(refusal([], { inModule: [{ ...tags, address: 'module.m.data.coder_workspace_tags.t' }] })).toMatch(
      /root module/,
    );
  });
});
