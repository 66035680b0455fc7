/** Agents inside dev containers, which their parent registers. Source: spec/05 §13. */
export const maxSubAgents = 50;
export const maxSubAgentApps = 100;

const namePattern = /^[a-z0-9](?:-?[a-z0-9])*$/i;
const slugPattern = /^[a-z0-9](?:-?[a-z0-9])*$/;
const maxNameLength = 64;

/** What is wrong with an agent's name; capitals are fine, but do not tell two names apart. */
export function agentNameProblem(name: string): string | undefined {
  if (name.length < 1 || name.length > maxNameLength) return `must have 1 to ${maxNameLength} characters`;
  return namePattern.test(name) ? undefined : 'may only have letters, digits and single hyphens between them';
}

export const isAgentNameTaken = (name: string, others: readonly string[]): boolean =>
  others.some((other) => other.toLowerCase() === name.toLowerCase());

/** What is wrong with the slug of an app, given those before it in the same request. */
export function appSlugProblem(slug: string, earlier: readonly string[]): string | undefined {
  if (slug.length > maxNameLength || !slugPattern.test(slug))
    return `must have 1 to ${maxNameLength} lower-case letters, digits and single hyphens between them`;
  return earlier.includes(slug) ? 'is already used by an earlier app' : undefined;
}

const base32hex = '0123456789abcdefghijklmnopqrstuv';

/** RFC 4648 §7 in lower case, without padding. */
export function toBase32Hex(bytes: Uint8Array): string {
  let text = '';
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = ((value << 8) | byte) & 0xfff;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += base32hex[(value >> bits) & 31]!;
    }
  }
  return bits > 0 ? text + base32hex[(value << (5 - bits)) & 31]! : text;
}

/**
 * The slug that is stored: apps of two containers may have the same one, but addresses are made of it. `digest` is the
 * SHA-256 of `<agent name>/<slug>`.
 */
export const storedAppSlug = (digest: Uint8Array, slug: string): string =>
  `${toBase32Hex(digest.subarray(0, 5)).slice(0, 8)}-${slug}`;

/** From nobody else to anybody. */
export const sharingLevels = ['owner', 'organization', 'authenticated', 'public'] as const;
export type SharingLevel = (typeof sharingLevels)[number];

/** At most what the template allows. */
export const clampSharingLevel = (level: SharingLevel, maximum: SharingLevel): SharingLevel =>
  sharingLevels[Math.min(sharingLevels.indexOf(level), sharingLevels.indexOf(maximum))]!;

/** A health check that states no pace gets one (spec/05 §10). */
export const effectiveHealthcheck = (check: { url: string; interval: number; threshold: number }) =>
  check.url !== '' && (check.interval <= 0 || check.threshold <= 0)
    ? { url: check.url, interval: 5, threshold: 3 }
    : check;
