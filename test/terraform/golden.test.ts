import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { TemplateReferences } from '../../domain/provisioned.ts';
import { convertResources } from '../../terraform/convert.ts';
import type { TerraformInstance } from '../../terraform/instances.ts';
import { parseObject } from '../../terraform/json.ts';
import { parsePlan, planInstances, readReferences } from '../../terraform/plan.ts';
import { parseState, showStateInstances } from '../../terraform/state.ts';
import { agentsOf, comparable } from './support/comparable.ts';
import { deepFrozen } from './support/instances.ts';
import { type FullChain, goldenDir, readRecorded } from './support/terraform-runs.ts';

const convert = (instances: readonly TerraformInstance[], references: TemplateReferences) =>
  convertResources({ instances, references, newId: randomUUID });

function read(chain: FullChain) {
  const plan = parsePlan(chain.plan);
  const state = parseState(chain.rawState);
  const shown = parseObject(chain.shownState);
  if (state === null || shown === null) throw new Error('the recorded state is not readable');
  return {
    references: readReferences(plan, chain.graph),
    plan: planInstances(plan),
    rawState: state.instances,
    shownState: showStateInstances(shown),
    stopPlan: planInstances(parsePlan(chain.stopPlan)),
  };
}

describe.each(readdirSync(goldenDir('')))('template %s', (name) => {
  test('plan, raw state and shown state give the same rows except ids and tokens', async () => {
    const recorded = deepFrozen(read(await readRecorded(name)));
    const fromPlan = comparable(convert(recorded.plan, recorded.references));
    expect(comparable(convert(recorded.rawState, recorded.references))).toEqual(fromPlan);
    expect(comparable(convert(recorded.shownState, recorded.references))).toEqual(fromPlan);
  });

  test('the order of the instances does not matter and the input is not changed', async () => {
    const recorded = deepFrozen(read(await readRecorded(name)));
    const [a, b] = await Promise.all([
      Promise.resolve().then(() => convert(recorded.rawState, recorded.references)),
      Promise.resolve().then(() => convert(recorded.rawState.toReversed(), recorded.references)),
    ]);
    expect(comparable(b)).toEqual(comparable(a));
  });
});

describe('the measured template', () => {
  test('a start gives container, vm2 and volume with what hangs on them', async () => {
    const recorded = read(await readRecorded('measured'));
    const rows = convert(recorded.rawState, recorded.references);
    expect(rows.resources.map(({ address, dailyCost, hide }) => ({ address, dailyCost, hide }))).toEqual([
      { address: 'terraform_data.container[0]', dailyCost: 20, hide: false },
      { address: 'terraform_data.vm2[0]', dailyCost: 0, hide: false },
      { address: 'terraform_data.volume', dailyCost: 5, hide: true },
    ]);
    expect(rows.dailyCost).toBe(25);
    expect(rows.warnings).toEqual([]);
    const [container, vm2, volume] = rows.resources;
    expect(container?.icon).toBe('/icon/container.svg');
    expect(container?.metadata).toEqual([
      { key: 'image', value: 'debian', sensitive: false },
      { key: 'pw', value: 'secret-value', sensitive: true },
    ]);
    expect(container?.agents.map((agent) => agent.name)).toEqual(['main', 'dc']);
    expect(vm2?.agents.map((agent) => agent.name)).toEqual(['second']);
    expect(volume?.agents).toEqual([]);
  });

  test('agent main carries apps, merged environment, scripts, metadata and monitors', async () => {
    const recorded = read(await readRecorded('measured'));
    const [main, dc, second] = agentsOf(convert(recorded.rawState, recorded.references));
    expect(main?.apps.map((app) => app.slug)).toEqual(['cmd', 'code', 'inner']);
    expect(main?.environment).toEqual({ PATH: '/base', FOO: 'bar', TOKEN: 'shh' });
    expect(main?.scripts.map((script) => [script.displayName, script.script, script.runOnStart])).toEqual([
      ['Startup Script', 'echo start', true],
      ['S', 'echo s', true],
      ['Dev Container (dc)', '', false],
    ]);
    expect(main?.scripts.at(-1)?.id).toBe(main?.devcontainers[0]?.id);
    expect(main).toMatchObject({
      parentId: null,
      instanceId: null,
      directory: '/home/dev',
      connectionTimeoutSeconds: 120,
      apiKeyScope: 'all',
      displayApps: ['vscode', 'ssh_helper', 'port_forwarding_helper', 'web_terminal'],
      metadata: [
        { key: 'load', displayName: 'Load', script: 'uptime', intervalSeconds: 10, timeoutSeconds: 2, displayOrder: 1 },
      ],
      monitors: [
        { path: null, enabled: true, threshold: 80 },
        { path: '/home', enabled: true, threshold: 90 },
      ],
    });
    expect(second?.displayApps).toEqual(['vscode_insiders', 'ssh_helper', 'port_forwarding_helper', 'web_terminal']);
    expect(dc).toMatchObject({
      parentId: main?.id,
      instanceId: null,
      directory: '/home/dev/project',
      environment: null,
    });
    expect(dc?.id).toBe(main?.devcontainers[0]?.subagentId);
    expect(dc?.apps.map((app) => app.slug)).toEqual(['dcapp']);
  });

  test('tokens are those that Terraform knows, ids are new in each conversion', async () => {
    const recorded = read(await readRecorded('measured'));
    const valueOf = (address: string, key: string) =>
      recorded.rawState.find((instance) => instance.address === address)?.values[key];
    const [first, again] = [1, 2].map(() => agentsOf(convert(recorded.rawState, recorded.references)));
    expect(first?.[0]?.token).toBe(valueOf('coder_agent.main', 'token'));
    // The sub-agent's own token is random.
    expect(first?.[1]?.token).not.toBe(first?.[0]?.token);
    // Without count an app and a dev container keep their Terraform ids for ever: two builds must not share rows.
    const idsOf = (agents: typeof first) =>
      (agents ?? []).flatMap((agent) => [
        agent.id,
        ...agent.apps.map((app) => app.id),
        ...agent.scripts.map((one) => one.id),
      ]);
    expect(new Set([...idsOf(first), ...idsOf(again)]).size).toBe(2 * idsOf(first).length);
    expect(idsOf(first)).not.toContain(valueOf('coder_app.code', 'id'));
  });

  test('apps keep what the template says of them', async () => {
    const recorded = read(await readRecorded('measured'));
    const apps = agentsOf(convert(recorded.plan, recorded.references))[0]?.apps;
    expect(apps?.find((app) => app.slug === 'cmd')).toMatchObject({
      displayName: 'Command',
      command: 'htop',
      url: null,
      displayOrder: 3,
      displayGroup: 'Tools',
      tooltip: 'Shows **processes**',
      sharingLevel: 'owner',
      openIn: 'slim-window',
      health: 'disabled',
    });
    expect(apps?.find((app) => app.slug === 'code')).toMatchObject({
      displayName: 'code',
      command: null,
      url: 'http://localhost:8080',
      healthcheckUrl: 'http://localhost:8080/healthz',
      healthcheckIntervalSeconds: 5,
      healthcheckThreshold: 6,
      health: 'initializing',
      displayGroup: null,
    });
  });

  test('a stop leaves the volume alone, its cost and no agent', async () => {
    const recorded = read(await readRecorded('measured'));
    const rows = convertResources({
      instances: recorded.stopPlan,
      references: recorded.references,
      newId: randomUUID,
      transition: 'stop',
    });
    expect(rows.resources.map((resource) => resource.address)).toEqual(['terraform_data.volume']);
    expect(rows.dailyCost).toBe(5);
    expect(agentsOf(rows)).toEqual([]);
    expect(rows.warnings).toEqual([]);
  });
});

describe('hosts of agents', () => {
  const hostOf = async (agentName: string) => {
    const recorded = read(await readRecorded('hosts'));
    const rows = convert(recorded.rawState, recorded.references);
    return rows.resources
      .filter((resource) => resource.agents.some((agent) => agent.name === agentName))
      .map((resource) => resource.address);
  };
  test.each([
    ['the nearest dependent', 'chain', ['terraform_data.near']],
    ['the alphabetically first at equal distance', 'tie', ['terraform_data.apple']],
    ['the first instance only', 'pair', ['terraform_data.pair[0]']],
    ['an external agent', 'outside', ['coder_external_agent.outside']],
    ['nowhere when nothing uses it', 'lonely', []],
  ])('%s', async (_title, agentName, hosts) => expect(await hostOf(agentName)).toEqual(hosts));

  test('an agent that was left out is told, its app is left out with it', async () => {
    const recorded = read(await readRecorded('hosts'));
    const rows = convert(recorded.rawState, recorded.references);
    expect(rows.warnings).toEqual([expect.stringContaining('coder_agent.lonely')]);
    expect(JSON.stringify(rows)).not.toContain('"slug":"lonely"');
    expect(rows.hasExternalAgent).toBe(true);
  });

  test('an instance id is for agents without token authentication only', async () => {
    const recorded = read(await readRecorded('hosts'));
    const agents = agentsOf(convert(recorded.rawState, recorded.references));
    expect(agents.find((agent) => agent.name === 'cloud')?.instanceId).toBe('i-cloud');
    expect(agents.find((agent) => agent.name === 'chain')?.instanceId).toBeNull();
  });
});

test('metadata goes where it points, not where the reduced graph leads', async () => {
  const recorded = read(await readRecorded('targets'));
  const described = (instances: readonly TerraformInstance[]) =>
    convert(instances, recorded.references)
      .resources.filter((resource) => resource.dailyCost > 0 || resource.metadata.length > 0 || resource.icon !== '')
      .map(({ address, dailyCost }) => [address, dailyCost]);
  const expected = [
    ['module.described[0].terraform_data.own', 2],
    ['module.described[1].terraform_data.own', 2],
    ['terraform_data.a', 1],
    ['terraform_data.counted[1]', 7],
    ['terraform_data.each["one"]', 0],
    ['terraform_data.each["two"]', 0],
    ['terraform_data.local_target', 0],
  ];
  expect(described(recorded.plan)).toEqual(expected);
  expect(described(recorded.rawState)).toEqual(expected);
});

test('keys with dots and brackets do not confuse modules and labels', async () => {
  const recorded = read(await readRecorded('modules'));
  const [resource] = convert(recorded.rawState, recorded.references).resources;
  expect(resource).toMatchObject({
    address: 'module.machine[0].terraform_data.vm["a.b[c]"]',
    modulePath: 'module.machine[0]',
    name: 'vm',
  });
  expect(resource?.agents[0]?.scripts.map((script) => script.cron)).toEqual(['0 0 22 * * *']);
  expect(resource?.agents[0]?.environment).toEqual({ TOOL_CODE: '1', TOOL_NOTEBOOK: '1' });
});

test('dev containers with children become sub-agents with names of their own', async () => {
  const recorded = read(await readRecorded('devcontainers'));
  const rows = convert(recorded.rawState, recorded.references);
  const [dev, one, two, ...more] = agentsOf(rows);
  expect(more).toEqual([]);
  expect(dev?.devcontainers.map(({ name, subagentId }) => [name, subagentId])).toEqual([
    ['My_Repo', one?.id],
    ['My_Repo-2', two?.id],
    ['plain', null],
  ]);
  expect([one?.name, two?.name]).toEqual(['my-repo', 'my-repo-2']);
  expect(one?.apps.map((app) => app.slug)).toEqual(['repo-one']);
  expect(one?.scripts.map((script) => script.displayName)).toEqual(['Prepare']);
  expect(two?.environment).toEqual({ REPO: 'two' });
  expect(dev?.environment).toEqual({ ONLY: 'parent' });
  expect(rows.hasAiTask).toBe(true);
  expect(rows.aiTaskAppId).toBe(dev?.apps.find((app) => app.slug === 'chat')?.id);
});
