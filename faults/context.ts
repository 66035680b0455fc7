import type { ApiClient } from './api-client.ts';
import { eventually } from './patience.ts';
import type { Fleet, ProvisionerHost } from './stack/fleet.ts';
import type { Stack } from './stack/stack.ts';

/** The processes that one scenario or several of them need. */
export interface Foundation {
  readonly stack: Stack;
  readonly fleet: Fleet;
  /** A lost host is replaced here. */
  readonly hosts: ProvisionerHost[];
}

/** All of them serve, and there is a session with their API. */
export interface Stage extends Foundation {
  readonly api: ApiClient;
  /** The session that `api` uses. */
  readonly token: string;
  readonly templateId: string;
}

/** What a scenario works with. */
export interface Context extends Stage {
  readonly scenario: string;
  /** A job that is not over after so long is stuck. */
  readonly boundMs: number;
}

const awayForMs = 60_000;

/** Reads from the API, with patience while it is away. Answers the status for anything but 200. */
export async function read<Body>(context: Context, path: string): Promise<{ status: number; body: Body }> {
  const answer = await eventually(
    async () => {
      const found = await context.api.request<Body>('GET', path);
      return found.status === 0 || found.status === 503 ? undefined : found;
    },
    { boundMs: awayForMs, everyMs: 100 },
  );
  if (answer === undefined) throw new Error(`GET ${path}: no answer within ${awayForMs / 1000} s`);
  return answer;
}

/** Waits until all processes serve: after a fault, and before the next one. */
export async function everythingReady({ fleet, hosts }: Foundation): Promise<void> {
  const workers = hosts.flatMap((host) => host.workers);
  await Promise.all([...fleet.apis, ...fleet.controls, ...workers].map((each) => each.ready()));
}
