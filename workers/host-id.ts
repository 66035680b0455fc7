import { randomUUID } from 'node:crypto';
import { existsSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Identity of this host: an id file in the work root plus the machine id, so that a cloned image is another host (spec/02
 * §5.8). Two workers that share a work root are one host.
 */
export function readHostId(workRoot: string): string {
  mkdirSync(workRoot, { recursive: true, mode: 0o700 });
  const path = join(workRoot, 'host-id');
  if (!existsSync(path)) {
    const draft = `${path}.${process.pid}`;
    writeFileSync(draft, randomUUID());
    try {
      linkSync(draft, path);
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== 'EEXIST') throw err;
    } finally {
      rmSync(draft, { force: true });
    }
  }
  const machine = existsSync('/etc/machine-id') ? readFileSync('/etc/machine-id', 'utf8').trim().slice(0, 8) : 'host';
  return `${readFileSync(path, 'utf8').trim()}-${machine}`;
}
