/** Generated names of template versions: two words and a digit, e.g. `calm_harbor4`. Source: spec/06 §7. */
const adjectives = [
  'amber', 'brave', 'brisk', 'calm', 'clever', 'crisp', 'eager', 'early', 'fair', 'fleet', 'gentle', 'glad', 'golden',
  'grand', 'happy', 'keen', 'kind', 'lively', 'lucky', 'mellow', 'merry', 'modest', 'noble', 'plain', 'proud', 'quick',
  'quiet', 'rapid', 'ready', 'sharp', 'silent', 'smooth', 'solid', 'steady', 'still', 'sunny', 'swift', 'tidy', 'warm',
  'wise',
] as const; // prettier-ignore
const nouns = [
  'anchor', 'bay', 'beacon', 'bollard', 'bow', 'bridge', 'buoy', 'cabin', 'canal', 'capstan', 'channel', 'coast',
  'compass', 'cove', 'crane', 'current', 'deck', 'delta', 'dock', 'ferry', 'fjord', 'galley', 'harbor', 'helm', 'hull',
  'island', 'jetty', 'keel', 'lagoon', 'lantern', 'lighthouse', 'marina', 'mast', 'mooring', 'pier', 'port', 'quay',
  'reef', 'rudder', 'sail', 'shore', 'sloop', 'tide', 'wharf',
] as const; // prettier-ignore

/** `random` gives numbers in [0, 1). */
export function generateVersionName(random: () => number): string {
  const pick = <T>(list: readonly T[]): T => list[Math.min(Math.floor(random() * list.length), list.length - 1)]!;
  return `${pick(adjectives)}_${pick(nouns)}${Math.min(Math.floor(random() * 10), 9)}`;
}
