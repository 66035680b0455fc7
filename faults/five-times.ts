import { randomUUID } from 'node:crypto';
import type { Answer } from './api-client.ts';
import type { Context } from './context.ts';
import type { Finding } from './oracle.ts';
import type { Run } from './run.ts';

export const copies = 5;

/** What the calls of this scenario answer: a build, a workspace with its build, or a message. */
export interface Body {
  readonly id?: string;
  readonly job?: { readonly id: string };
  readonly latest_build?: { readonly id: string; readonly job: { readonly id: string } };
}

export interface FiveAnswers {
  readonly answers: readonly Answer<Body>[];
  readonly keyed: boolean;
  /** Sends the same call once more. */
  readonly again: () => Promise<Answer<Body>>;
}

/** Sends one call five times at the same moment, all with one Idempotency-Key or all without. */
export async function fiveTimes(
  context: Context,
  run: Run,
  call: { method: string; path: string; json?: unknown; keyed: boolean },
): Promise<FiveAnswers> {
  const { method, path, json, keyed } = call;
  const request = { ...(json !== undefined && { json }), ...(keyed && { idempotencyKey: randomUUID() }) };
  const send = () => context.api.request<Body>(method, path, request);
  run.notes.push(`${method} ${path} five times, ${keyed ? 'with one key' : 'without a key'}`);
  return { answers: await Promise.all(Array.from({ length: copies }, send)), keyed, again: send };
}

/** With a key all are created and name the same resource; without one, one is created and the others meet the conflict. */
export function judgeCreations({ answers, keyed }: FiveAnswers): Finding[] {
  const created = answers.filter(({ status }) => status === 201);
  const refused = answers.filter(({ status }) => status === 409);
  const resources = new Set(created.map(({ body }) => body.id));
  const right = keyed
    ? created.length === copies && resources.size === 1
    : created.length === 1 && refused.length === copies - 1;
  return right ? [] : [{ kind: 'wrong', what: `answers: ${answers.map(describeAnswer).join(', ')}` }];
}

/** One cancel is accepted, or none when all came too late; they name no resource, so a key changes nothing. */
export function judgeCancels({ answers }: FiveAnswers, status: string): Finding[] {
  const accepted = answers.filter((answer) => answer.status === 200).length;
  const refused = answers.filter((answer) => answer.status === 400).length;
  if (accepted === (status === 'canceled' ? 1 : 0) && accepted + refused === copies) return [];
  return [{ kind: 'wrong', what: `${status}, cancels: ${answers.map(describeAnswer).join(', ')}` }];
}

export const describeAnswer = ({ status, body }: Answer<Body>): string =>
  `${status} ${body.id ?? JSON.stringify(body).slice(0, 100)}`;
