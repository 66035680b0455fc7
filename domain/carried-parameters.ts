import { DomainError } from './errors.ts';
import { type ParameterValue, resolveParameters } from './parameters.ts';
import type { TemplateParameter } from './provisioned.ts';

/**
 * Whether a start on another version gets along with the values of the last build, so that nobody has to be asked.
 * Source: spec/04 §4.2.
 */
export function carriesOver(parameters: readonly TemplateParameter[], previous: readonly ParameterValue[]): boolean {
  try {
    resolveParameters({
      parameters,
      requested: [],
      preset: null,
      previous,
      transition: 'start',
      isFirstBuild: false,
      isClaim: false,
      mode: 'build',
    });
    return true;
  } catch (err) {
    if (err instanceof DomainError && err.code === 'INVALID_INPUT') return false;
    throw err;
  }
}
