import { posixScript } from './init-script-posix.ts';
import { powershellScript } from './init-script-powershell.ts';

/** Machines that have an init script. Source: spec/05 §15. */
export const initScriptPlatforms = {
  linux: ['amd64', 'arm64', 'armv7'],
  darwin: ['amd64', 'arm64'],
  windows: ['amd64', 'arm64'],
} as const;
export type InitScriptOs = keyof typeof initScriptPlatforms;

export interface InitScriptInput {
  readonly os: InitScriptOs;
  readonly arch: string;
  /** Of `agent.mjs`; what is downloaded and does not have it is not run. */
  readonly agentSha256: string;
}

export const isInitScriptPlatform = (os: string, arch: string): os is InitScriptOs =>
  Object.hasOwn(initScriptPlatforms, os) &&
  (initScriptPlatforms[os as InitScriptOs] as readonly string[]).includes(arch);

/**
 * What a workspace runs to get and start its agent. `${ACCESS_URL}` (with a slash at its end) and `${AUTH_TYPE}` are left
 * for Terraform's provider to replace; no token is in it. Throws Error for a machine that has none. Source: spec/05 §16.
 */
export function initScript({ os, arch, agentSha256 }: InitScriptInput): string {
  if (!isInitScriptPlatform(os, arch)) throw new Error(`Unknown os/arch: ${String(os)}/${arch}`);
  if (!/^[0-9a-f]{64}$/.test(agentSha256)) throw new Error('agentSha256 must be 64 hexadecimal digits');
  return os === 'windows' ? powershellScript({ arch, agentSha256 }) : posixScript({ os, arch, agentSha256 });
}

/** `linux_amd64` → script, for the environment of Terraform (`CODER_AGENT_SCRIPT_<os>_<arch>`). */
export const initScripts = (agentSha256: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(initScriptPlatforms).flatMap(([os, archs]) =>
      archs.map((arch) => [`${os}_${arch}`, initScript({ os: os as InitScriptOs, arch, agentSha256 })]),
    ),
  );

/** Fills what the provider would fill, for scripts that do not go through Terraform. */
export const renderInitScript = (
  script: string,
  { accessUrl, authType }: { readonly accessUrl: string; readonly authType: string },
): string =>
  script
    .replaceAll('${ACCESS_URL}', () => `${accessUrl.replace(/\/+$/, '')}/`)
    .replaceAll('${AUTH_TYPE}', () => authType);
