/** Name syntax of each kind. Source: spec/01 §0.1, spec/07 §1, §2. */
const dashed = /^[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*$/;
const dotted = /^[a-zA-Z0-9]+(?:[_.-]{1}[a-zA-Z0-9]+)*$/;

interface NameRule {
  readonly pattern: RegExp;
  readonly max: number;
  readonly reserved: readonly string[];
}

const rules = {
  user: { pattern: dashed, max: 32, reserved: ['me'] },
  organization: { pattern: dashed, max: 32, reserved: ['new', 'create', 'default'] },
  template: { pattern: dashed, max: 32, reserved: ['new', 'create'] },
  workspace: { pattern: dashed, max: 32, reserved: ['new', 'create'] },
  group: { pattern: dashed, max: 255, reserved: [] },
  templateVersion: { pattern: dotted, max: 64, reserved: [] },
  token: { pattern: dotted, max: 64, reserved: [] },
} as const satisfies Record<string, NameRule>;

export type NameKind = keyof typeof rules;

/** What is wrong with a name, as a sentence for the user; undefined when nothing is. */
export function nameProblem(kind: NameKind, name: string): string | undefined {
  const rule: NameRule = rules[kind];
  if (name.length < 1 || name.length > rule.max) return `must have 1 to ${rule.max} characters`;
  if (!rule.pattern.test(name))
    return rule.pattern === dashed
      ? 'may only have letters, digits and single hyphens between them'
      : 'may only have letters, digits and single hyphens, dots or underscores between them';
  if (rule.reserved.includes(name.toLowerCase())) return `"${name}" is reserved`;
  return undefined;
}

/** Display names: no white space around them, empty allowed. */
export function displayNameProblem(name: string, max = 64): string | undefined {
  if (name.length > max) return `must have at most ${max} characters`;
  if (name.trim() !== name) return 'must not start or end with a space';
  return undefined;
}

const base32 = 'abcdefghijklmnopqrstuvwxyz234567';

/** Name of a prebuild from 9 random bytes: `prebuild-` and 15 characters. Source: spec/03 §8.1. */
export function prebuildName(random: Uint8Array): string {
  let bits = 0n;
  for (const byte of random) bits = (bits << 8n) | BigInt(byte);
  // 72 bits are 14.4 characters of five.
  bits <<= 3n;
  const characters = Array.from({ length: 15 }, (_, place) => base32[Number((bits >> BigInt(5 * (14 - place))) & 31n)]);
  return `prebuild-${characters.join('')}`;
}
