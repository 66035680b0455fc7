import { readFileSync } from 'node:fs';

export interface ListeningPort {
  readonly process_name: string;
  readonly network: 'tcp';
  readonly port: number;
}

/** TCP states in /proc/net/tcp are hexadecimal; 0A is LISTEN. */
export const parseProcNet = (text: string): readonly number[] =>
  text
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[3] === '0A')
    .map((fields) => Number.parseInt(fields[1]?.split(':').at(-1) ?? '', 16))
    .filter((port) => Number.isInteger(port));

/** Ports that something in the workspace listens on; without the names of processes, and empty where /proc is missing. */
export function listListeningPorts(): { ports: readonly ListeningPort[] } {
  const ports = new Set<number>();
  for (const file of ['/proc/net/tcp', '/proc/net/tcp6']) {
    try {
      for (const port of parseProcNet(readFileSync(file, 'utf8'))) ports.add(port);
    } catch {
      // Another system, or no IPv6.
    }
  }
  return {
    ports: [...ports].toSorted((a, b) => a - b).map((port) => ({ process_name: '', network: 'tcp', port })),
  };
}
