declare const BERTH_AGENT_VERSION: string | undefined;

/** Put in by the bundler (agent/bundle.ts); semantic version with a leading `v`, as the startup report wants it. */
export const version = typeof BERTH_AGENT_VERSION === 'string' ? BERTH_AGENT_VERSION : 'v0.0.0-dev';
