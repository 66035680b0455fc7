import {
  type CountLimit,
  type RangeLimit,
  type TextLimit,
  characters,
  numberProblem,
  textProblem,
} from '../domain/agent-limits.ts';
import { DomainError } from '../domain/errors.ts';
import type { TerraformInstance } from './instances.ts';

/** A template that Terraform accepts but the platform cannot: the text names the address. */
export const invalidTemplate = (instance: TerraformInstance | string, problem: string): DomainError =>
  new DomainError('INVALID_TEMPLATE', `${typeof instance === 'string' ? instance : instance.address}: ${problem}`);

/** The text, when it keeps within a limit (domain/agent-limits.ts) or the width of its column (spec/01 §4.3) in characters. */
export function limited(instance: TerraformInstance, what: string, text: string, limit: number | TextLimit): string {
  const problem = textProblem(typeof limit === 'number' ? characters(limit) : limit, text);
  if (problem !== undefined) throw invalidTemplate(instance, `${what} ${problem}.`);
  return text;
}

/** Columns of type integer, within `range` where the platform has one. */
export function integerOf(instance: TerraformInstance, what: string, value: number, range?: RangeLimit): number {
  if (!Number.isInteger(value) || Math.abs(value) > 2_147_483_647)
    throw invalidTemplate(instance, `${what} must be a whole number within 32 bits.`);
  const problem = range === undefined ? undefined : numberProblem(range, value);
  if (problem !== undefined) throw invalidTemplate(instance, `${what} ${problem}.`);
  return value;
}

/** The list, when one agent may have so many. */
export function limitedList<T>(instance: TerraformInstance, what: string, list: readonly T[], limit: CountLimit) {
  const problem = numberProblem(limit, list.length);
  if (problem !== undefined) throw invalidTemplate(instance, `${what} ${problem}, not ${list.length}.`);
  return list;
}
