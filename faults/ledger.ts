import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/** One line of the ledger: what a provisioner of the template really did. */
export interface Effect {
  readonly verb: 'create' | 'destroy';
  readonly workspaceId: string;
  readonly address: string;
  /** The object's own id in Terraform's state. */
  readonly objectId: string;
  /** Milliseconds since the epoch, with the fraction that the nanosecond clock gave. */
  readonly atMs: number;
  /** Process id of the Terraform that ran the provisioner. */
  readonly terraformPid: number;
  readonly buildId: string;
}

export interface Ledger {
  readonly file: string;
  /** Effects on one workspace in the order in which they were written. */
  effectsOf(workspaceId: string): readonly Effect[];
  /** Workspaces on which there were effects. */
  workspaceIds(): readonly string[];
}

/** Throws for anything but a whole line: the oracle must not look away from what it cannot read. */
export function parseEffect(line: string): Effect {
  const [verb, workspaceId = '', address = '', objectId = '', nanoseconds = '', pid = '', buildId = '', ...rest] =
    line.split(' ');
  const complete = workspaceId !== '' && address !== '' && objectId !== '' && buildId !== '' && rest.length === 0;
  if ((verb !== 'create' && verb !== 'destroy') || !complete || !/^\d{19}$/.test(nanoseconds) || !/^\d+$/.test(pid))
    throw new Error(`not a line of the ledger: ${line}`);
  const atMs = Number(BigInt(nanoseconds) / 1000n) / 1000;
  return { verb, workspaceId, address, objectId, atMs, terraformPid: Number(pid), buildId };
}

export const describeEffect = ({ verb, address, objectId, atMs, terraformPid, buildId }: Effect): string =>
  `${new Date(atMs).toISOString()} ${verb} ${address} ${objectId} (terraform ${terraformPid}, build ${buildId})`;

/** Reads the append-only file as it grows; lines are whole because each is one write of one `echo`. */
export function openLedger(file: string): Ledger {
  const byWorkspace = new Map<string, Effect[]>();
  let offset = 0;
  const readOn = (): void => {
    const descriptor = openSync(file, 'r');
    try {
      const bytes = Buffer.alloc(fstatSync(descriptor).size - offset);
      const text = bytes.subarray(0, readSync(descriptor, bytes, 0, bytes.length, offset)).toString();
      const whole = text.slice(0, text.lastIndexOf('\n') + 1);
      offset += Buffer.byteLength(whole);
      for (const line of whole.split('\n').slice(0, -1)) {
        const effect = parseEffect(line);
        const effects = byWorkspace.get(effect.workspaceId);
        if (effects === undefined) byWorkspace.set(effect.workspaceId, [effect]);
        else effects.push(effect);
      }
    } finally {
      closeSync(descriptor);
    }
  };
  return {
    file,
    effectsOf(workspaceId) {
      readOn();
      return byWorkspace.get(workspaceId) ?? [];
    },
    workspaceIds() {
      readOn();
      return [...byWorkspace.keys()];
    },
  };
}
