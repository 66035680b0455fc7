import { readFileSync } from 'node:fs';

/** Version of this build, from the nearest package.json (sources and `dist/` are one level apart). */
function readVersion(): string {
  for (const path of ['./package.json', '../package.json']) {
    try {
      const { version } = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as { version?: string };
      if (version !== undefined) return version;
    } catch {
      // Not there: the other place has it.
    }
  }
  return '0.0.0';
}
export const BERTH_VERSION = readVersion();
