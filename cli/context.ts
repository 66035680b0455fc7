import type { Client } from './client.ts';
import type { Output } from './output.ts';
import type { Session } from './session-file.ts';
import type { BuildInfo, User } from './types.ts';

/** Options that stand before or behind any command. */
export interface GlobalOptions {
  readonly url?: string;
  readonly token?: string;
  readonly org: string;
  readonly json?: boolean;
  readonly color: boolean;
}

/** What every command gets; made once per call in cli/run.ts. */
export interface CliContext {
  readonly output: Output;
  /** Name or id, `default` unless --org says otherwise. */
  readonly organization: string;
  /** Calls back on Ctrl-C until it is told to stop; without a listener Ctrl-C ends the program at once. */
  readonly onInterrupt: (callback: () => void) => () => void;
  readonly stdin: NodeJS.ReadStream;
  readonly now: () => Date;
  /** Signed in. Throws CliError when no session is known. */
  readonly client: () => Client;
  /** For public routes and for signing in; `url` wins over what is configured. */
  readonly publicClient: (url?: string) => Client;
  readonly session: { readonly path: string; save(session: Session): void; forget(): void };
  /** Opens an address in the user's browser; false when there is none to open it with. */
  readonly openBrowser: (url: string) => boolean;
}

/** Runs `work` with a signal that Ctrl-C aborts; what it watches goes on at the server. */
export async function untilInterrupted<T>(context: CliContext, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const stop = context.onInterrupt(() => controller.abort());
  try {
    return await work(controller.signal);
  } finally {
    stop();
  }
}

export const whoAmI = (client: Client): Promise<User> => client.get('/api/v2/users/me');

/** The Temporal Web UI's page of a workflow; undefined when the server does not know where its UI is. */
export async function workflowLink(client: Client, workflowId: string): Promise<string | undefined> {
  const info = await client.get<BuildInfo>('/api/v2/buildinfo');
  if (info.temporal_ui_url === undefined || info.temporal_ui_url === '') return undefined;
  const namespace = encodeURIComponent(info.temporal_namespace ?? 'default');
  return `${info.temporal_ui_url.replace(/\/+$/, '')}/namespaces/${namespace}/workflows/${encodeURIComponent(workflowId)}`;
}
