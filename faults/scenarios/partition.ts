import { setTimeout as delay } from 'node:timers/promises';
import type { Foundation } from '../context.ts';
import { type Finding, findOverlap } from '../oracle.ts';
import { type PausingProxy, startPausingProxy } from '../pausing-proxy.ts';
import { changesAfter } from '../rows.ts';
import type { Run } from '../run.ts';
import type { Round } from '../scenario.ts';
import { shortLeases, shortLeasesRemark, takeOverMs } from '../short-leases.ts';
import type { ProvisionerHost } from '../stack/fleet.ts';
import { watchTerraforms } from '../terraform-sightings.ts';
import { strikeScenario } from './strike-scenario.ts';

/** More than usual: each round spends most of its time waiting for the leases. */
const slots = 12;
const found = new WeakMap<Run, Finding[]>();
/** What lies between a host and its services. */
const networks = new WeakMap<ProvisionerHost, readonly PausingProxy[]>();

/**
 * Host A can reach neither PostgreSQL nor Temporal for longer than its leases last, or its worker stands still; host B is there
 * from then on. B may go on only after A's Terraform has ended, and whatever A has to say when it is back changes nothing.
 */
export const partition = strikeScenario({
  name: 'partition',
  fleet: { slots, settings: shortLeases },
  remark: `${shortLeasesRemark}; in half of the rounds the worker of host A stands still instead`,
  begin: addHosts,
  strike: {
    expected: ['succeeded'],
    strike,
    async heal({ context }) {
      // B is there only while A is cut off, so that every build begins on A.
      await context.hosts[1]!.workers[0]!.end('SIGKILL');
    },
    inspect: async (_round, { run }) => found.get(run) ?? [],
  },
});

async function addHosts({ stack, fleet, hosts }: Foundation): Promise<void> {
  const { postgres, temporal } = stack.services;
  const database = new URL(postgres.address);
  const [host = '', port] = temporal.address.split(':');
  const toDatabase = await startPausingProxy({ host: database.hostname, port: Number(database.port) });
  const toTemporal = await startPausingProxy({ host, port: Number(port) });
  for (const proxy of [toDatabase, toTemporal]) stack.onStop(() => proxy.close());
  database.port = String(toDatabase.port);
  const through = { CODER_PG_CONNECTION_URL: database.href, TEMPORAL_ADDRESS: `127.0.0.1:${toTemporal.port}` };
  const a = await fleet.addHost({ name: 'host-a', settings: through });
  const b = await fleet.addHost({ name: 'host-b', started: false });
  networks.set(a, [toDatabase, toTemporal]);
  hosts.push(a, b);
}

async function strike(round: Round): Promise<void> {
  const { context, random } = round;
  const { watch, sql } = context.stack;
  const [a, b] = context.hosts;
  const [worker] = a!.workers;
  const standsStill = random.next() < 0.5;
  const network = networks.get(a!) ?? [];
  if (standsStill) worker!.send('SIGSTOP');
  else for (const proxy of network) proxy.pause();
  const struck = await round.accepted();
  for (const { run } of struck) run.notes.push(standsStill ? 'the worker of host A stood still' : 'host A was cut off');
  const jobIds = struck.map(({ build }) => build.jobId);
  const onA = watchTerraforms(a!, jobIds);
  const onB = watchTerraforms(b!, jobIds);
  await b!.workers[0]!.start();
  const beganAt = Date.now();
  await Promise.all(jobIds.map((jobId) => watch.until(jobId, ({ over }) => over, context.boundMs)));
  await delay(Math.max(0, beganAt + takeOverMs - Date.now()));
  await Promise.all([onA.stop(), onB.stop()]);
  // One that is not over yet may still be A's.
  const over = jobIds.filter((jobId) => watch.row(jobId)?.over === true);
  const changes = await changesAfter(sql, over, () => {
    if (standsStill) worker!.send('SIGCONT');
    else for (const proxy of network) proxy.resume();
  });
  for (const { run, build } of struck) {
    const effects = context.stack.ledger.effectsOf(run.workspaceId).filter(({ buildId }) => buildId === build.id);
    const lastAliveMs = onA.lastAliveMs(build.jobId);
    const pids = onB.pids(build.jobId);
    run.notes.push(
      `host A had a Terraform until ${lastAliveMs}, those of host B were ${[...pids].join(', ') || 'none'}`,
    );
    const late = changes.get(build.jobId) ?? [];
    found.set(run, [
      ...late.map((what): Finding => ({ kind: 'wrong', what: `written late: ${what}` })),
      ...findOverlap(effects, { first: { lastAliveMs }, second: { pids } }),
    ]);
  }
}
