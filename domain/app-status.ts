/** What an agent says of a task's progress. Source: spec/05 §10. */
export const appStatusStates = ['working', 'idle', 'complete', 'failure'] as const;
export type AppStatusState = (typeof appStatusStates)[number];

export const maxStatusMessageLength = 160;
export const maxStatusUriLength = 2_048;

// oxlint-disable-next-line no-control-regex -- terminal colours and titles begin with an escape character
const terminalCodes = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\-_])/g;
const tags = /<\/?[a-z!][^<>]*>/gi;

/**
 * One line of plain text: terminal codes, tags and what is left of them, control and format characters are gone, white
 * space is one space. Clients escape it all the same.
 */
export const cleanStatusMessage = (message: string): string =>
  message
    .replaceAll(terminalCodes, '')
    .replaceAll(tags, '')
    .replaceAll(/[<>]/g, '')
    .replaceAll(/\s/gu, ' ')
    // The joiner of emoji is the one format character that people see.
    .replaceAll(/[\p{Cc}\p{Cs}]|(?!\u200d)\p{Cf}/gu, '')
    .replaceAll(/ +/g, ' ')
    .trim();

/** What is wrong with a message that was cleaned; counted in characters as people see them, roughly: code points. */
export const statusMessageProblem = (cleaned: string): string | undefined =>
  Array.from(cleaned).length > maxStatusMessageLength
    ? `must have at most ${maxStatusMessageLength} characters`
    : undefined;

const runningSchemes = ['javascript:', 'data:', 'vbscript:'];

/** What is wrong with an address that people will click. Browsers drop white space inside a scheme, so this does too. */
export function statusUriProblem(uri: string): string | undefined {
  if (uri.length > maxStatusUriLength) return `must have at most ${maxStatusUriLength} characters`;
  // oxlint-disable-next-line no-control-regex -- these are what browsers drop
  const effective = uri.replaceAll(/[\u0000-\u0020]/g, '').toLowerCase();
  return runningSchemes.some((scheme) => effective.startsWith(scheme)) ? 'must not run code' : undefined;
}

interface StatusContent {
  readonly state: AppStatusState;
  readonly message: string;
  readonly uri: string | null;
}

export const isSameStatus = (a: StatusContent, b: StatusContent): boolean =>
  a.state === b.state && a.message === b.message && a.uri === b.uri;

/** Work that begins, goes on or has just ended keeps the workspace up. */
export const isStatusActivity = (state: AppStatusState, previous: AppStatusState | undefined): boolean =>
  state === 'working' || previous === 'working';
