import { describe, expect, test } from 'vitest';
import { manifestView } from '../../api/views/agent-manifest.ts';
import { agentLimits, maxManifestBytes } from '../../domain/agent-limits.ts';
import { DomainError } from '../../domain/errors.ts';
import type { ProvisionedAgent, ProvisionedResources } from '../../domain/provisioned.ts';
import { convertResources } from '../../terraform/convert.ts';
import type { TerraformInstance } from '../../terraform/instances.ts';
import { agentsOf } from './support/comparable.ts';
import { agent, countedIds, deepFrozen, instance, references } from './support/instances.ts';

const machineRefs = deepFrozen(references({ edges: [['test_machine.m', 'coder_agent.main']] }));
/** Every input is frozen: a conversion that wrote into it would throw. */
const convert = (instances: readonly TerraformInstance[]): ProvisionedResources =>
  convertResources({ instances: deepFrozen([...instances]), references: machineRefs, newId: countedIds() });

const refusal = (instances: readonly TerraformInstance[]): string => {
  try {
    convert(instances);
  } catch (err) {
    if (err instanceof DomainError && err.code === 'INVALID_TEMPLATE') return err.message;
    throw err;
  }
  return 'nothing was refused';
};

const main = (values: Record<string, unknown> = {}, ...more: TerraformInstance[]) => [
  agent('main', values),
  instance('test_machine.m'),
  ...more,
];
const child = (address: string, values: Record<string, unknown> = {}) =>
  instance(address, { agent_id: 'id-of-main', ...values });
const app = (values: Record<string, unknown>) => main({}, child('coder_app.a', { slug: 'a', ...values }));
const check = (values: Record<string, unknown>) =>
  app({ healthcheck: [{ url: 'http://x', interval: 1, threshold: 1, ...values }] });
const script = (values: Record<string, unknown>) =>
  main({}, child('coder_script.s', { run_on_start: true, ...values }));
const meta = (values: Record<string, unknown>) =>
  main({ metadata: [{ key: 'k', script: 'x', interval: 1, timeout: 1, ...values }] });
const env = (values: Record<string, unknown>) => main({}, child('coder_env.e', { name: 'A', ...values }));
const volumes = (...volume: Record<string, unknown>[]) => main({ resources_monitoring: [{ volume }] });
const devcontainer = (values: Record<string, unknown>, ...more: TerraformInstance[]) =>
  main({}, child('coder_devcontainer.dc', { subagent_id: 'id-of-dc', workspace_folder: '/w', ...values }), ...more);
const inside = (address: string, values: Record<string, unknown> = {}) =>
  instance(address, { agent_id: 'id-of-dc', ...values });

const many = <T>(count: number, one: (index: number) => T): T[] => Array.from({ length: count }, (_, i) => one(i));
const apps = (count: number, make = child) => many(count, (i) => make(`coder_app.a${i}`, { slug: `a${i}` }));
const scripts = (count: number, make = child) => many(count, (i) => make(`coder_script.s${i}`, { run_on_start: true }));
const fill = (length: number) => 'x'.repeat(length);

/** Variables whose names and values have so many bytes together. */
function variables(bytes: number): Record<string, string> {
  const filled: Record<string, string> = {};
  for (let left = bytes, i = 0; left > 0; i++) {
    const value = fill(Math.min(left - 2, agentLimits.environmentValue.max));
    filled[`A${i}`] = value;
    left -= 2 + value.length;
  }
  return filled;
}

/** An agent whose part of the manifest has so many bytes. */
function ofManifestSize(bytes: number): TerraformInstance[] {
  const full = Math.floor(bytes / agentLimits.script.max) - 1;
  const sized = (filler: number) =>
    main(
      { startup_script: fill(filler) },
      ...many(full, (i) => child(`coder_script.s${i}`, { run_on_start: true, script: fill(agentLimits.script.max) })),
    );
  const [empty] = agentsOf(convert(sized(1)));
  return sized(bytes - JSON.stringify(empty).length + 1);
}

interface Case {
  /** Beginning of the refusal. */
  readonly says: string;
  readonly at: (size: number) => readonly TerraformInstance[];
  /** Where the lower end is no violation. */
  readonly openBelow?: boolean;
}
const text = (says: string, at: (text: string) => readonly TerraformInstance[]): Case => ({
  says,
  at: (size) => at(fill(size)),
});
const ofAgent = (key: string): Case => text(`coder_agent.main: ${key} must`, (value) => main({ [key]: value }));
const ofScript = (key: string): Case => text(`coder_script.s: ${key} must`, (value) => script({ [key]: value }));
const ofApp = (key: string): Case => text(`coder_app.a: ${key} must`, (value) => app({ [key]: value }));

/** What agents send: test/api/agent-limits.test.ts. */
type Sent = 'version' | 'expandedDirectory';
const cases: Record<Exclude<keyof typeof agentLimits, Sent>, readonly Case[]> = {
  directory: [ofAgent('dir')],
  motdFile: [ofAgent('motd_file')],
  architecture: [ofAgent('arch')],
  operatingSystem: [ofAgent('os')],
  troubleshootingUrl: [ofAgent('troubleshooting_url')],
  environmentNames: [
    {
      says: 'coder_agent.main: env may',
      at: (count) => main({ env: Object.fromEntries(many(count, (i) => [`A${i}`, ''])) }),
    },
    {
      says: 'coder_devcontainer.dc: env may',
      at: (count) => devcontainer({}, ...many(count, (i) => inside(`coder_env.e${i}`, { name: `A${i}`, value: '1' }))),
    },
  ],
  environmentValue: [
    text('coder_agent.main: env.A must', (A) => main({ env: { A } })),
    text('coder_env.e: value must', (value) => env({ value })),
    text('coder_agent.main: env.A must', (value) =>
      main(
        {},
        child('coder_env.e', { name: 'A', value: value.slice(0, 9) }),
        child('coder_env.f', { name: 'A', value: value.slice(10), merge_strategy: 'append' }),
      ),
    ),
  ],
  environment: [
    { says: 'coder_agent.main: env (names and values) must', at: (bytes) => main({ env: variables(bytes) }) },
    {
      says: 'coder_devcontainer.dc: env (names and values) must',
      at: (bytes) =>
        devcontainer(
          {},
          ...Object.entries(variables(bytes)).map(([name, value]) => inside(`coder_env.${name}`, { name, value })),
        ),
    },
  ],
  scripts: [
    { says: 'coder_agent.main: scripts may', at: (count) => main({}, ...scripts(count)) },
    {
      says: 'coder_agent.main: scripts may',
      at: (count) => main({ startup_script: 'x', shutdown_script: 'x' }, ...scripts(count - 2)),
    },
    { says: 'coder_devcontainer.dc: scripts may', at: (count) => devcontainer({}, ...scripts(count, inside)) },
  ],
  script: [ofScript('script'), ofAgent('startup_script'), ofAgent('shutdown_script')],
  scriptLogPath: [ofScript('log_path')],
  scriptIcon: [ofScript('icon')],
  scriptCron: [ofScript('cron')],
  scriptTimeoutSeconds: [{ says: 'coder_script.s: timeout must', at: (timeout) => script({ timeout }) }],
  metadata: [
    {
      says: 'coder_agent.main: metadata may',
      at: (count) => main({ metadata: many(count, (i) => ({ key: `k${i}` })) }),
    },
  ],
  metadataKey: [text('coder_agent.main: metadata.key must', (key) => meta({ key }))],
  metadataScript: [text('coder_agent.main: metadata.script must', (source) => meta({ script: source }))],
  metadataIntervalSeconds: [{ says: 'coder_agent.main: metadata.interval must', at: (interval) => meta({ interval }) }],
  metadataTimeoutSeconds: [{ says: 'coder_agent.main: metadata.timeout must', at: (timeout) => meta({ timeout }) }],
  apps: [
    { says: 'coder_agent.main: apps may', at: (count) => main({}, ...apps(count)) },
    { says: 'coder_devcontainer.dc: apps may', at: (count) => devcontainer({}, ...apps(count, inside)) },
  ],
  appDisplayName: [ofApp('display_name')],
  appUrl: [ofApp('url'), text('coder_app.a: healthcheck.url must', (url) => check({ url }))],
  appCommand: [ofApp('command')],
  appIcon: [ofApp('icon')],
  appTooltip: [ofApp('tooltip')],
  appGroup: [ofApp('group')],
  healthcheckIntervalSeconds: [
    { says: 'coder_app.a: healthcheck.interval must', at: (interval) => check({ interval }), openBelow: true },
    {
      says: 'coder_app.a: healthcheck.interval must',
      at: (interval) => app({ healthcheck: [{ interval, threshold: 1 }] }),
      openBelow: true,
    },
  ],
  healthcheckThreshold: [
    { says: 'coder_app.a: healthcheck.threshold must', at: (threshold) => check({ threshold }), openBelow: true },
  ],
  volumeMonitors: [
    {
      says: 'coder_agent.main: resources_monitoring.volume may',
      at: (count) => volumes(...many(count, (i) => ({ path: `/${i}`, enabled: true, threshold: 1 }))),
    },
  ],
  volumePath: [
    text('coder_agent.main: resources_monitoring.volume.path must', (path) => volumes({ path, threshold: 1 })),
  ],
  monitorThreshold: [
    {
      says: 'coder_agent.main: resources_monitoring.volume.threshold must',
      at: (threshold) => volumes({ path: '/', threshold }),
    },
    {
      says: 'coder_agent.main: resources_monitoring.memory.threshold must',
      at: (threshold) => main({ resources_monitoring: [{ memory: [{ enabled: true, threshold }] }] }),
    },
  ],
  devcontainers: [
    {
      says: 'coder_agent.main: devcontainers may',
      at: (count) => main({}, ...many(count, (i) => child(`coder_devcontainer.d${i}`))),
    },
  ],
  workspaceFolder: [
    text('coder_devcontainer.dc: workspace_folder must', (path) => devcontainer({ workspace_folder: path })),
  ],
  configPath: [text('coder_devcontainer.dc: config_path must', (path) => devcontainer({ config_path: path }))],
  manifestOfTemplate: [{ says: 'coder_agent.main: the manifest (', at: ofManifestSize }],
};

type Key = keyof typeof cases;
const rows = (Object.keys(cases) as Key[]).flatMap((key) =>
  cases[key].map((one, index) => ({ title: `${key} ${index + 1}`, limit: agentLimits[key], ...one })),
);

describe('A template', () => {
  test.each(rows)('may reach a limit and not pass it: $title', ({ limit, says, at, openBelow = false }) => {
    expect(refusal(at(limit.max))).toBe('nothing was refused');
    const refused = refusal(at(limit.max + 1));
    expect(refused.slice(0, says.length)).toBe(says);
    expect(refused).toContain(String(limit.max));
    if (limit.kind !== 'range') return;
    expect(refusal(at(limit.min))).toBe('nothing was refused');
    const below = refusal(at(limit.min - 1));
    expect(openBelow ? below : below.slice(0, says.length)).toBe(openBelow ? 'nothing was refused' : says);
    expect(refusal(at(limit.min + 0.5)).slice(0, says.length)).toBe(says);
  });

  test('is measured in characters for columns and in bytes for sizes', () => {
    expect(refusal(app({ display_name: '😀'.repeat(64) }))).toBe('nothing was refused');
    expect(refusal(app({ display_name: '😀'.repeat(65) }))).toMatch(/display_name must be at most 64 characters/);
    expect(refusal(script({ script: 'é'.repeat(131_072) }))).toBe('nothing was refused');
    expect(refusal(script({ script: `${'é'.repeat(131_072)}x` }))).toMatch(/script must be at most 262144 bytes/);
  });

  test('with a health check that states no pace gets one; without a check nothing is made up', () => {
    const pace = (values: Record<string, unknown>) => {
      const made = agentsOf(convert(check(values)))[0]?.apps[0];
      return [made?.healthcheckIntervalSeconds, made?.healthcheckThreshold];
    };
    expect(pace({ interval: 0 })).toEqual([5, 3]);
    expect(pace({ threshold: -1 })).toEqual([5, 3]);
    expect(pace({ interval: 7, threshold: 9 })).toEqual([7, 9]);
    expect(pace({ url: '', interval: 0, threshold: 0 })).toEqual([0, 0]);
  });

  test('is judged at import by what its plan knows', () => {
    const known = { log_path: fill(1_025) };
    expect(refusal(main({}, child('coder_script.s', known)))).toMatch(/coder_script\.s: log_path/);
    expect(refusal(main({}, child('coder_script.s', {})))).toBe('nothing was refused');
  });

  test('can be stopped whatever is wrong with its agents', () => {
    const instances = deepFrozen(main({ dir: fill(1_025) }));
    const stopped = convertResources({ instances, references: machineRefs, newId: countedIds(), transition: 'stop' });
    expect(stopped.resources.map(({ address, agents }) => [address, agents])).toEqual([['test_machine.m', []]]);
  });
});

/** An agent with as many entries as may be; `filler` bytes in each script. */
const largest = (filler: number) =>
  main(
    {
      startup_script: fill(filler),
      metadata: many(50, (i) => ({ key: `k${i}`, display_name: `K ${i}`, script: 'uptime', interval: 1, timeout: 1 })),
      resources_monitoring: [{ volume: many(20, (i) => ({ path: `/v${i}`, enabled: true, threshold: 80 })) }],
      env: variables(4_096),
    },
    ...many(99, (i) =>
      child(`coder_script.s${i}`, {
        run_on_start: true,
        display_name: `S ${i}`,
        script: fill(filler),
        timeout: 7_776_000,
      }),
    ),
    ...many(50, (i) => child(`coder_app.a${i}`, { slug: `a${i}`, healthcheck: [{ url: 'http://x', interval: 1 }] })),
    ...many(20, (i) => child(`coder_devcontainer.d${i}`, { workspace_folder: `/w${i}`, config_path: 'c' })),
  );

const wireOf = (made: ProvisionedAgent): string =>
  JSON.stringify(
    manifestView({
      ...made,
      agentId: made.id,
      agentName: made.name,
      environmentVariables: { ...made.environment },
      workspaceId: made.id,
      workspaceName: 'w'.repeat(32),
      ownerId: made.id,
      ownerName: 'o'.repeat(32),
      ownerStatus: 'active',
      ownerIsSystem: false,
      buildId: made.id,
      buildNumber: 1_000_000,
      apps: made.apps.map((one) => ({
        ...one,
        agentId: made.id,
        healthcheckInterval: one.healthcheckIntervalSeconds,
      })),
      scripts: made.scripts.map((one) => ({ ...one, agentId: made.id })),
      metadata: [...made.metadata],
      devcontainers: [...made.devcontainers],
      memory: { enabled: true },
      volumes: made.monitors.map(({ path, enabled }) => ({ path: path ?? '', enabled })),
      secrets: [],
    } as Parameters<typeof manifestView>[0]),
  );

test('what the conversion takes for the size of a manifest is that size, but for a few letters per entry', () => {
  const [made] = agentsOf(convert(largest(30_000)));
  expect(refusal(largest(40_000))).toMatch(/the manifest/);
  const estimate = JSON.stringify(made).length;
  const wire = wireOf(made!).length;
  expect(wire).toBeGreaterThan(3_000_000);
  expect(wire - estimate).toBeLessThan(16_384);
  expect(wire).toBeLessThan(maxManifestBytes);
});

test('two conversions of one frozen input at once give the same rows and leave it as it is', async () => {
  const instances = deepFrozen(largest(10));
  const before = JSON.stringify(instances);
  const run = () => Promise.resolve().then(() => convert(instances));
  const [first, second] = await Promise.all([run(), run()]);
  expect(first).toEqual(second);
  expect(agentsOf(first)[0]?.scripts).toHaveLength(120);
  expect(JSON.stringify(instances)).toBe(before);
});
