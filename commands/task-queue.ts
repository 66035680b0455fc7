import { createHash } from 'node:crypto';
import { canonicalTags } from '../domain/jobs.ts';

/** Task queue of a tag set: `tf-` + 16 hex digits of the SHA-256 of its canonical text (spec/02 §1.4). */
export const taskQueueOf = (tags: Readonly<Record<string, string>>): string =>
  `tf-${createHash('sha256').update(canonicalTags(tags)).digest('hex').slice(0, 16)}`;
