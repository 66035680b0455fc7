import { readFileSync } from 'node:fs';

interface CpuProfile {
  readonly nodes: readonly {
    id: number;
    children?: readonly number[];
    callFrame: { functionName: string; url: string; lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** `dist/ingest/batch.js`, `hono`, `node:net`: a file of ours, or the package it belongs to. */
function placeOf(url: string): string {
  const inPackage = /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1];
  return inPackage ?? url.replace(/^.*\/dist\//, '').replace(/\.js$/, '.ts') ?? '';
}

/** With all that was called from there, without waiting: of our own files, and of the packages that they call. */
function inclusive({ nodes, samples, timeDeltas }: CpuProfile): Map<string, number> {
  const parent = new Map(nodes.flatMap(({ id, children }) => (children ?? []).map((child) => [child, id] as const)));
  const named = new Map(
    nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => [
      id,
      url === '' || url.startsWith('node:')
        ? undefined
        : `${functionName || '(anonymous)'} ${placeOf(url)}:${lineNumber + 1}`,
    ]),
  );
  const total = new Map<string, number>();
  samples.forEach((sample, index) => {
    const seen = new Set<string>();
    for (let id: number | undefined = sample; id !== undefined; id = parent.get(id)) {
      const name = named.get(id);
      if (name !== undefined) seen.add(name);
    }
    for (const name of seen) total.set(name, (total.get(name) ?? 0) + timeDeltas[index]!);
  });
  return total;
}

/** Prints where a profiled process spent its time on stderr: shares of the time that it was not idle, by function and by place. */
export function printProfile(path: string, top = 45): void {
  const profile = JSON.parse(readFileSync(path, 'utf8')) as CpuProfile;
  const { nodes, samples, timeDeltas } = profile;
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const probing = new Set<number>();
  // A node comes after the one that it hangs on.
  for (const { id, children = [], callFrame } of nodes)
    if (probing.has(id) || callFrame.url.endsWith('probe.mjs')) for (const each of [id, ...children]) probing.add(each);
  const byFunction = new Map<string, number>();
  const byPlace = new Map<string, number>();
  let busy = 0;
  samples.forEach((id, index) => {
    const { functionName, url, lineNumber } = frames.get(id)!;
    // Starting the profile is not the load's.
    if (functionName === '(idle)' || functionName === '(root)' || probing.has(id)) return;
    const micros = timeDeltas[index]!;
    busy += micros;
    const place = url === '' ? '(native)' : placeOf(url);
    const name = `${functionName || '(anonymous)'} ${place}${url === '' ? '' : `:${lineNumber + 1}`}`;
    byFunction.set(name, (byFunction.get(name) ?? 0) + micros);
    byPlace.set(place, (byPlace.get(place) ?? 0) + micros);
  });
  const print = (title: string, shares: Map<string, number>) => {
    console.error(`${title} (share of ${(busy / 1e6).toFixed(1)} s)`);
    for (const [name, micros] of [...shares].toSorted((a, b) => b[1] - a[1]).slice(0, top))
      console.error(`  ${((micros / busy) * 100).toFixed(1).padStart(5)} %  ${name}`);
  };
  print('by place', byPlace);
  print('by function', byFunction);
  print('by function, with what it calls', inclusive(profile));
}
