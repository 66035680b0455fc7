import type { FieldError } from '../domain/errors.ts';
import { compareBytes } from '../domain/text-order.ts';
import { HclError, parseHcl } from './hcl.ts';

/**
 * Root-module files that no Terraform could read, so that the author hears of it at once and not from a job's log. Lenient:
 * what passes here may still be refused by Terraform. Source: spec/06 §7 "Broken HCL".
 */
export function syntaxProblems(files: ReadonlyMap<string, string>): FieldError[] {
  return [...files.keys()].toSorted(compareBytes).flatMap((file) => {
    const problem = problemOf(file, files.get(file) ?? '');
    return problem === undefined ? [] : [{ field: file, detail: problem }];
  });
}

function problemOf(file: string, text: string): string | undefined {
  try {
    if (file.endsWith('.tf.json')) JSON.parse(text);
    else if (file.endsWith('.tf')) parseHcl(text);
    return undefined;
  } catch (err) {
    if (err instanceof HclError) return err.message;
    if (err instanceof SyntaxError) return `not valid JSON: ${err.message}`;
    throw err;
  }
}
