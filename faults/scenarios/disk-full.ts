import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type SmallDisk, createSmallDisk } from '../small-disk.ts';
import type { ProvisionerHost } from '../stack/fleet.ts';
import { strikeScenario, usualFleet } from './strike-scenario.ts';

const diskMegabytes = 128;
const minFreeMegabytes = 16;
const fullForMs = { min: 1_000, max: 4_000 };
const disks = new WeakMap<ProvisionerHost, SmallDisk>();

/**
 * Every byte of the host's work root is taken for some seconds. A build may fail, with a reason that names the disk, but its
 * state is that of the world, and the next build works.
 */
export const diskFull = strikeScenario({
  name: 'disk-full',
  fleet: { slots: usualFleet.slots, settings: { BERTH_MIN_FREE_DISK: String(minFreeMegabytes * 1024 * 1024) } },
  remark: `the work root has ${diskMegabytes} MiB, of which ${minFreeMegabytes} have to be free`,
  async begin({ stack, fleet, hosts }) {
    const { root } = stack.services;
    const disk = await createSmallDisk(join(root, 'hosts', 'small-disk'), { megabytes: diskMegabytes });
    const host = await fleet.addHost({ name: 'small-disk', workRoot: disk.directory, wrap: disk.wrap });
    disks.set(host, disk);
    hosts.push(host);
  },
  strike: {
    expected: ['failed', 'succeeded'],
    async strike({ context, random }) {
      const [host] = context.hosts;
      const pid = host!.workers[0]!.pid();
      const disk = disks.get(host!);
      if (disk === undefined || pid === null) throw new Error('the host with the small disk does not run');
      disk.fill(pid);
      await delay(random.between(fullForMs.min, fullForMs.max));
      disk.empty(pid);
    },
    async inspect(_round, { row }) {
      if (row.status !== 'failed' || /disk|no space/i.test(row.error ?? '')) return [];
      return [{ kind: 'wrong', what: `the error does not name the disk: ${row.error}` }];
    },
  },
});
