/** Password policy. Source: spec/07 §3.1. */
const minimumBits = 52;
const minimumLength = 8;
const maximumLength = 64;
const classes: readonly (readonly [RegExp, number])[] = [
  [/[a-z]/, 26],
  [/[A-Z]/, 26],
  [/[0-9]/, 10],
  [/[^a-zA-Z0-9]/, 33],
];

/** Length in which a run of more than two equal or consecutive characters (aaa, abc, 321) counts as two. */
function collapsedLength(password: string): number {
  const codes = Array.from(password, (char) => char.codePointAt(0) ?? 0);
  let length = 0;
  let runLength = 0;
  let runStep: number | undefined;
  codes.forEach((code, index) => {
    const previous = codes[index - 1];
    const step = previous === undefined ? undefined : code - previous;
    const continues = step !== undefined && Math.abs(step) <= 1 && (runLength === 1 || step === runStep);
    runLength = continues ? runLength + 1 : 1;
    runStep = continues ? step : undefined;
    if (runLength <= 2) length += 1;
  });
  return length;
}

/** Estimated entropy in bits. */
export function passwordBits(password: string): number {
  const alphabet = classes.reduce((sum, [pattern, size]) => sum + (pattern.test(password) ? size : 0), 0);
  return alphabet === 0 ? 0 : collapsedLength(password) * Math.log2(alphabet);
}

/** Why the password is refused, as a sentence; undefined when it is good enough. */
export function passwordProblem(password: string, who: { username?: string; email?: string } = {}): string | undefined {
  const { length } = Array.from(password);
  if (length < minimumLength || length > maximumLength)
    return `must have ${minimumLength} to ${maximumLength} characters`;
  const lower = password.toLowerCase();
  const personal = [who.username, who.email?.split('@')[0]].map((part) => part?.toLowerCase() ?? '');
  if (personal.some((part) => part.length >= 3 && lower.includes(part)))
    return 'must not contain the username or the name part of the e-mail address';
  if (passwordBits(password) < minimumBits) return 'is too easy to guess: make it longer or mix in other characters';
  return undefined;
}

const firstWaitAfter = 5;
const longestWaitSeconds = 900;

/** Seconds that an attempt has to wait after `failures` in a row; 0 up to the fifth. Source: spec/07 §7. */
export const loginWaitSeconds = (failures: number): number =>
  failures <= firstWaitAfter ? 0 : Math.min(2 ** (failures - firstWaitAfter), longestWaitSeconds);
