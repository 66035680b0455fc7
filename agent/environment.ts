import { type Environment, expandVariables } from './expand.ts';
import type { Manifest } from './protocol.ts';

export interface CommandEnvironmentInput {
  readonly manifest: Manifest;
  readonly processEnv: Readonly<Record<string, string | undefined>>;
  readonly url: string;
  readonly token: string;
  /** Runs this agent with further arguments; a path without spaces is not required. */
  readonly agentExecutable: string;
  readonly binDir: string;
  readonly secrets: Environment;
  readonly platform: NodeJS.Platform;
}

/** Environment of scripts, metadata and sessions, lowest source first. Source: spec/05 §4. */
export function commandEnvironment(input: CommandEnvironmentInput): Record<string, string> {
  const { manifest, processEnv, binDir, platform } = input;
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(processEnv)) if (value !== undefined) env[name] = value;
  // Where the token came from is the agent's business; commands get the token itself.
  delete env['CODER_AGENT_TOKEN_FILE'];
  const executable = input.agentExecutable.replaceAll('\\', '/');
  Object.assign(env, {
    CODER: 'true',
    CODER_WORKSPACE_NAME: manifest.workspace_name,
    CODER_WORKSPACE_AGENT_NAME: manifest.agent_name,
    CODER_WORKSPACE_OWNER_NAME: manifest.owner_name,
    CODER_AGENT_TOKEN: input.token,
    CODER_AGENT_URL: input.url,
    GIT_SSH_COMMAND: `${executable.includes(' ') ? `"${executable}"` : executable} gitssh --`,
    CS_DISABLE_GETTING_STARTED_OVERRIDE: 'true',
    ...(manifest.vscode_port_proxy_uri !== '' && { VSCODE_PROXY_URI: manifest.vscode_port_proxy_uri }),
  });
  for (const [name, value] of Object.entries(manifest.environment_variables))
    env[name] = expandVariables(value, processEnv);
  Object.assign(env, input.secrets);
  if (manifest.git_auth_configs > 0) env['GIT_ASKPASS'] = input.agentExecutable;
  const separator = platform === 'win32' ? ';' : ':';
  const path = env['PATH'] ?? env['Path'] ?? '';
  env['PATH'] = path === '' ? binDir : `${binDir}${separator}${path}`;
  return env;
}
