/**
 * How much an agent may be and say: of a template's text it fails the build, of an agent's request it is 400, both naming the
 * field. Limits that other chapters state (logs, metadata values, secrets, sub-agents) stand with their own rules.
 * Source: spec/05 §17 "Input limits".
 */
/** Of one text: characters as PostgreSQL's varchar counts them, or bytes of UTF-8. */
export interface TextLimit {
  readonly kind: 'characters' | 'bytes';
  readonly max: number;
}
/** A whole number, both ends allowed. */
export interface RangeLimit {
  readonly kind: 'range';
  readonly min: number;
  readonly max: number;
}
/** How many of them one agent has. */
export interface CountLimit {
  readonly kind: 'count';
  readonly max: number;
}

export const characters = (max: number): TextLimit => ({ kind: 'characters', max });
const bytes = (max: number): TextLimit => ({ kind: 'bytes', max });
const range = (min: number, max: number): RangeLimit => ({ kind: 'range', min, max });
const count = (max: number): CountLimit => ({ kind: 'count', max });
const kib = 1_024;
const mib = 1_024 * kib;
const daySeconds = 86_400;

/** The whole answer that an agent takes (agent/http.ts refuses more). */
export const maxManifestBytes = 4 * mib;

export const agentLimits = {
  /** Narrower than its column, varchar(4096), which is older than the limit. */
  directory: characters(1_024),
  expandedDirectory: characters(1_024),
  motdFile: characters(1_024),
  version: characters(64),
  architecture: characters(64),
  operatingSystem: characters(64),
  troubleshootingUrl: characters(2_048),

  environmentNames: count(200),
  environmentValue: bytes(32 * kib),
  /** Names and values together. */
  environment: bytes(256 * kib),

  /** Of the agent itself and `coder_script`; the placeholders of dev containers have their own limit. */
  scripts: count(100),
  script: bytes(256 * kib),
  scriptLogPath: characters(1_024),
  /** Ends in a text column, the log source's; an app's does not. */
  scriptIcon: characters(2_048),
  scriptCron: characters(128),
  /** The number of nanoseconds on the wire stays exact in JSON. */
  scriptTimeoutSeconds: range(0, 90 * daySeconds),

  metadata: count(50),
  metadataKey: characters(127),
  metadataScript: bytes(16 * kib),
  metadataIntervalSeconds: range(0, daySeconds),
  metadataTimeoutSeconds: range(0, 3_600),

  apps: count(50),
  appDisplayName: characters(64),
  appUrl: characters(2_048),
  appCommand: characters(2_048),
  /** The specification's 2,048 does not fit its column, varchar(256). */
  appIcon: characters(256),
  appTooltip: characters(2_048),
  appGroup: characters(64),
  /** 0 or less is no violation but "not stated" (`effectiveHealthcheck`). */
  healthcheckIntervalSeconds: range(1, 3_600),
  healthcheckThreshold: range(1, 100),

  volumeMonitors: count(20),
  volumePath: characters(1_024),
  /** Percent; the column is a smallint. */
  monitorThreshold: range(0, 100),

  devcontainers: count(20),
  workspaceFolder: characters(1_024),
  configPath: characters(1_024),

  /** What the template puts into the manifest: the last MiB is for the owner's secrets and what the server adds. */
  manifestOfTemplate: bytes(maxManifestBytes - mib),
} as const satisfies Record<string, TextLimit | RangeLimit | CountLimit>;

/** Of a number that may also be left open with 0. */
export const orUnstated = ({ max }: RangeLimit): RangeLimit => range(0, max);

/** What is wrong with a text, as the end of a sentence about its field. */
export function textProblem({ kind, max }: TextLimit, text: string): string | undefined {
  // A character has one or two units: most texts need not be counted.
  const tooLong =
    kind === 'bytes'
      ? Buffer.byteLength(text) > max
      : text.length > max && (text.length > 2 * max || Array.from(text).length > max);
  return tooLong ? `must be at most ${max} ${kind} long` : undefined;
}

/** What is wrong with a number or with how many there are, as the end of a sentence about its field. */
export function numberProblem(limit: RangeLimit | CountLimit, value: number): string | undefined {
  switch (limit.kind) {
    case 'count':
      return value > limit.max ? `may be at most ${limit.max} per agent` : undefined;
    case 'range':
      return Number.isInteger(value) && value >= limit.min && value <= limit.max
        ? undefined
        : `must be a whole number from ${limit.min} to ${limit.max}`;
  }
}
