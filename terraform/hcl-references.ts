import type { HclBody } from './hcl.ts';

/** A reference as its names: `module.m["a"].out` → `['module', 'm', 'out']`. Instance keys and splats are left out. */
export type Reference = readonly string[];

const identifier = String.raw`[\p{ID_Start}_][\p{ID_Continue}-]*`;
// A key with a template in it ends the reference: what the template refers to is found after it.
const step = String.raw`\s*\.\s*(?:${identifier}|\d+|\*)|\s*\[\s*(?:"[^"\\$%]*"|\d+|\*)\s*\]`;
const traversal = new RegExp(`${identifier}(?:${step})*`, 'gu');
const attribute = new RegExp(String.raw`(?:^|\.)\s*(${identifier})`, 'gu');
const keys = /\[\s*(?:"[^"\\$%]*"|\d+|\*)\s*\]/g;

/**
 * Everything in an expression's text that reads like a reference, also names that are none (functions, keys, words in strings):
 * whoever asks knows what exists. Strings are not told apart on purpose: a reference inside of a template cannot be missed.
 */
export const referencesIn = (text: string): Reference[] =>
  Array.from(text.matchAll(traversal), ([match]) =>
    Array.from(match.replaceAll(keys, '').matchAll(attribute), ([, name]) => name ?? ''),
  );

/** Functions that give another result in every run. */
const changing = /\b(?:timestamp|plantimestamp|uuid|bcrypt)(?=\s*\()/g;
export const changingCallsIn = (text: string): string[] => Array.from(text.matchAll(changing), ([name]) => `${name}()`);

/** Texts of every expression below a body. */
export function* textsOf(body: HclBody): Generator<string> {
  for (const { text } of body.attributes.values()) yield text;
  for (const block of body.blocks) yield* textsOf(block.body);
}
