import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const authTypes = [
  'token',
  'aws-instance-identity',
  'azure-instance-identity',
  'google-instance-identity',
] as const;
export type AuthType = (typeof authTypes)[number];
const subsystems = ['envbox', 'envbuilder', 'exectrace'] as const;

export interface Settings {
  /** Without a slash at the end. */
  readonly url: string;
  readonly auth: AuthType;
  readonly token: string;
  /** Read again on each connection; '' = the token itself was given. */
  readonly tokenFile: string;
  /** Which agent of the machine, where an instance id alone does not tell. */
  readonly agentName: string;
  /** Metadata service of the cloud; '' = the usual address. */
  readonly metadataUrl: string;
  readonly retryForever: boolean;
  readonly devcontainers: boolean;
  readonly dataDir: string;
  readonly logDir: string;
  readonly subsystems: readonly (typeof subsystems)[number][];
  readonly reconnectSpreadMs: number;
}

const isOn = (value: string | undefined): boolean => value === '1' || value?.toLowerCase() === 'true';

/** `30s`, `500ms`, `2m` or plain seconds. */
function durationMs(name: string, text: string): number {
  const [, amount, unit = 's'] = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(text) ?? [];
  if (amount === undefined) throw new Error(`${name}: not a duration: ${text} (use e.g. 30s)`);
  return Number(amount) * (unit === 'ms' ? 1 : unit === 's' ? 1000 : 60_000);
}

/** The agent's environment. Throws Error that names the bad variable, never its value where that is secret. Source: spec/05 §2, §13, §16. */
export function readSettings(env: Readonly<Record<string, string | undefined>>): Settings {
  const given = (name: string): string => env[name] ?? '';
  const url = given('CODER_AGENT_URL').replace(/\/+$/, '');
  if (!/^https?:\/\//.test(url)) throw new Error('CODER_AGENT_URL: must be the http(s) address of the server');
  const auth = authTypes.find((type) => type === (given('CODER_AGENT_AUTH') || 'token'));
  if (auth === undefined) throw new Error(`CODER_AGENT_AUTH: must be one of ${authTypes.join(', ')}`);
  const token = given('CODER_AGENT_TOKEN').trim();
  const tokenFile = given('CODER_AGENT_TOKEN_FILE');
  if (auth === 'token' && token === '' && tokenFile === '')
    throw new Error('CODER_AGENT_TOKEN: must be set (or CODER_AGENT_TOKEN_FILE)');
  return {
    url,
    auth,
    token,
    tokenFile: token === '' ? tokenFile : '',
    agentName: given('CODER_AGENT_NAME'),
    metadataUrl: given('CODER_AGENT_METADATA_URL').replace(/\/+$/, ''),
    retryForever: isOn(env['CODER_AGENT_RETRY_FOREVER']),
    devcontainers: !/^(false|0)$/i.test(given('CODER_AGENT_DEVCONTAINERS_ENABLE')),
    dataDir: given('CODER_AGENT_DATA_DIR'),
    logDir: given('CODER_AGENT_LOG_DIR') || tmpdir(),
    subsystems: subsystems.filter((name) =>
      given('CODER_AGENT_SUBSYSTEM')
        .split(/[\s,]+/)
        .includes(name),
    ),
    reconnectSpreadMs: durationMs('CODER_AGENT_RECONNECT_SPREAD', given('CODER_AGENT_RECONNECT_SPREAD') || '30s'),
  };
}

/** Where scripts' data and the shared `bin` lie; below home, because `/tmp` may be shared with other users. */
export const defaultDataDir = (home: string): string => join(home, '.coder-agent');
