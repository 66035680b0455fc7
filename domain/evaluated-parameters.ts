import type { TemplateParameter } from './provisioned.ts';
import { validateParameterValue } from './parameter-validation.ts';

export interface Diagnostic {
  readonly severity: 'error' | 'warning';
  readonly summary: string;
  readonly detail: string;
  readonly code: string;
}

export interface EvaluatedParameter {
  readonly parameter: TemplateParameter;
  readonly value: string;
  readonly valid: boolean;
  readonly diagnostics: readonly Diagnostic[];
}

/**
 * What a form shows for some inputs: each parameter with its value (input, else default) and what is wrong with it, and the
 * inputs that name no parameter. Static: the stored definition of the import decides, no expression is evaluated again,
 * so a parameter whose options depend on another one keeps those of its default. Source: spec/06 §7.
 */
export function evaluateParameters(
  parameters: readonly TemplateParameter[],
  inputs: Readonly<Record<string, string>>,
): { readonly parameters: readonly EvaluatedParameter[]; readonly diagnostics: readonly Diagnostic[] } {
  const known = new Set(parameters.map(({ name }) => name));
  return {
    diagnostics: Object.keys(inputs)
      .filter((name) => !known.has(name))
      .toSorted()
      .map((name) => ({
        severity: 'warning',
        summary: 'Unknown parameter',
        detail: `The template has no parameter "${name}".`,
        code: 'unknown_parameter',
      })),
    parameters: parameters.map((parameter) => {
      const given = Object.hasOwn(inputs, parameter.name) ? inputs[parameter.name] : undefined;
      const value = given ?? parameter.defaultValue;
      const problem = validateParameterValue(parameter, value);
      return {
        parameter,
        value,
        valid: problem === null,
        diagnostics:
          problem === null
            ? []
            : [
                {
                  severity: 'error',
                  summary: value === '' && parameter.required ? 'Required parameter' : 'Invalid parameter value',
                  detail: problem,
                  code: value === '' && parameter.required ? 'required' : 'invalid_value',
                },
              ],
      };
    }),
  };
}
