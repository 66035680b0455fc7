import { existsSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { identify, isAlive, run, terminate } from './process.ts';

async function commandLine(pid: number): Promise<string> {
  const file = `/proc/${pid}/cmdline`;
  if (existsSync(file)) return readFileSync(file, 'utf8').replaceAll('\0', ' ');
  const { stdout } = await run('ps', ['-o', 'command=', '-p', String(pid)], { env: { PATH: '/bin:/usr/bin' } });
  return stdout;
}

/**
 * Ends the server that an earlier owner of this data directory left behind when it was killed, and removes the pid file of
 * one that is gone: PostgreSQL would take any process that got the old number for a running server. Only for the holder of
 * the directory's lock.
 */
export async function stopLeftover(dataDir: string): Promise<'none' | 'stopped' | 'stale'> {
  const file = join(dataDir, 'postmaster.pid');
  if (!existsSync(file)) return 'none';
  const pid = Number(readFileSync(file, 'utf8').split('\n')[0]);
  const owner = Number.isInteger(pid) && pid > 0 ? await identify(pid) : { pid: 0, start: '' };
  if (await isAlive(owner)) {
    const command = await commandLine(pid).catch(() => '');
    if (command.includes(dataDir) || command.includes(realpathSync(dataDir))) {
      // SIGINT is PostgreSQL's fast shutdown: sessions end, data is written.
      await terminate(owner, { signal: 'SIGINT', graceMs: 20_000 });
      rmSync(file, { force: true });
      return 'stopped';
    }
  }
  rmSync(file, { force: true });
  return 'stale';
}
