import { DomainError } from '../domain/errors.ts';
import type { TerraformInstance } from './instances.ts';

/** A template that Terraform accepts but the platform cannot: the text names the address. */
export const invalidTemplate = (instance: TerraformInstance | string, problem: string): DomainError =>
  new DomainError('INVALID_TEMPLATE', `${typeof instance === 'string' ? instance : instance.address}: ${problem}`);

/** Widths of the columns that a template's texts end in (spec/01 §4.3), in characters. */
export function limited(instance: TerraformInstance, what: string, text: string, max: number): string {
  if (text.length > max && Array.from(text).length > max)
    throw invalidTemplate(instance, `${what} must be at most ${max} characters long.`);
  return text;
}

/** Columns of type integer. */
export function integerOf(instance: TerraformInstance, what: string, value: number): number {
  if (!Number.isInteger(value) || Math.abs(value) > 2_147_483_647)
    throw invalidTemplate(instance, `${what} must be a whole number within 32 bits.`);
  return value;
}
