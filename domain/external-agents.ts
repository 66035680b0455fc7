/**
 * The line that makes any machine the one of an external agent. Nothing but the two addresses and the token reaches the shell:
 * platform words come from the template's author. Source: spec/05 §15.
 */
export function externalAgentCommand(agent: {
  /** Of this deployment, without a slash at the end or with one. */
  readonly accessUrl: string;
  readonly operatingSystem: string;
  readonly architecture: string;
  readonly token: string;
}): string {
  const script = ['init-script', agent.operatingSystem, agent.architecture].map(pathSegment).join('/');
  const url = `${agent.accessUrl.replace(/\/+$/, '')}/api/v2/${script}`;
  return agent.operatingSystem.toLowerCase() === 'windows'
    ? `$env:CODER_AGENT_TOKEN="${agent.token}"; iwr -useb "${url}" | iex`
    : `curl -fsSL "${url}" | CODER_AGENT_TOKEN="${agent.token}" sh`;
}

/** `encodeURIComponent` leaves `!'()*~`; the first is history in an interactive shell. */
const pathSegment = (text: string): string =>
  encodeURIComponent(text.toLowerCase()).replaceAll(
    /[!'()*~]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  );
