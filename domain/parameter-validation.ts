import { RE2JS } from 're2js';
import type { TemplateParameter } from './provisioned.ts';

/**
 * The provider's own rules for values of rich parameters, applied before a job exists. Source: spec/02 §3.7.
 * Problems are texts for the user, null = fine.
 */
export function validateParameterValue(parameter: TemplateParameter, value: string, previous?: string): string | null {
  if (value === '') {
    if (parameter.required) return 'A value is required.';
    // The default itself is empty; only a text can be judged.
    if (parameter.type !== 'string') return null;
  }
  return typeProblem(parameter, value, previous) ?? optionProblem(parameter, value);
}

function typeProblem(parameter: TemplateParameter, value: string, previous: string | undefined): string | null {
  switch (parameter.type) {
    case 'string':
      return stringProblem(parameter, value);
    case 'number':
      return numberProblem(parameter, value, previous);
    case 'bool':
      return /^(1|t|T|TRUE|true|True|0|f|F|FALSE|false|False)$/.test(value) ? null : `"${value}" is not true or false.`;
    case 'list(string)':
      return parseList(value) === null ? `"${value}" is not a JSON list of texts.` : null;
  }
}

function parseList(value: string): readonly string[] | null {
  try {
    const list: unknown = JSON.parse(value);
    return Array.isArray(list) && list.every((item) => typeof item === 'string') ? list : null;
  } catch {
    return null;
  }
}

/** The author's own text with its placeholders, or ours. */
function explain(parameter: TemplateParameter, value: string, ours: string): string {
  if (parameter.validationError === '') return ours;
  return parameter.validationError
    .replaceAll('{min}', String(parameter.validationMin ?? ''))
    .replaceAll('{max}', String(parameter.validationMax ?? ''))
    .replaceAll('{value}', () => value);
}

function stringProblem(parameter: TemplateParameter, value: string): string | null {
  if (parameter.validationRegex === '') return null;
  const pattern = compileRegex(parameter.validationRegex);
  if (pattern === null) return 'The template checks this parameter with a regular expression that is not valid.';
  // Searched, not anchored.
  return pattern.matcher(value).find()
    ? null
    : explain(parameter, value, `"${value}" does not match ${parameter.validationRegex}.`);
}

/** RE2 syntax; null for anything it refuses, e.g. look-around and back-references. */
function compileRegex(source: string): RE2JS | null {
  try {
    return RE2JS.compile(source);
  } catch {
    return null;
  }
}

/** 64-bit integers, as the provider reads them. */
function parseInteger(text: string): bigint | null {
  if (!/^[+-]?\d+$/.test(text)) return null;
  const value = BigInt(text.replace(/^\+/, ''));
  return BigInt.asIntN(64, value) === value ? value : null;
}

const isFloat = (text: string): boolean =>
  /^[+-]?(\d[\d_]*\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text) || /^[+-]?(inf|infinity|nan)$/i.test(text);

function numberProblem(parameter: TemplateParameter, value: string, previous: string | undefined): string | null {
  const { validationMin: min, validationMax: max, validationMonotonic: monotonic } = parameter;
  if (min === null && max === null && monotonic === '') return isFloat(value) ? null : `"${value}" is not a number.`;
  const number = parseInteger(value);
  if (number === null) return explain(parameter, value, `"${value}" is not a whole number.`);
  if (min !== null && number < BigInt(Math.ceil(min)))
    return explain(parameter, value, `${value} is less than the minimum ${min}.`);
  if (max !== null && number > BigInt(Math.floor(max)))
    return explain(parameter, value, `${value} is more than the maximum ${max}.`);
  // A previous value that is no integer comes from another definition of the parameter.
  const before = previous === undefined ? null : parseInteger(previous);
  if (before === null) return null;
  if (monotonic === 'increasing' && number < before)
    return explain(parameter, value, `${value} is less than the previous value ${previous}; it may only increase.`);
  if (monotonic === 'decreasing' && number > before)
    return explain(parameter, value, `${value} is more than the previous value ${previous}; it may only decrease.`);
  return null;
}

function optionProblem(parameter: TemplateParameter, value: string): string | null {
  if (parameter.options.length === 0) return null;
  const allowed = new Set(parameter.options.map((option) => option.value));
  if (parameter.formType !== 'multi-select') return allowed.has(value) ? null : `"${value}" is not one of the options.`;
  const strange = (parseList(value) ?? [value]).filter((item) => !allowed.has(item));
  return strange.length === 0 ? null : `${strange.map((item) => `"${item}"`).join(', ')} is not one of the options.`;
}

/**
 * What an import must refuse in a definition: a check that does not fit the type, a regular expression that RE2 does not
 * know or that has no error text, options that are not unique or not of the type. null = fine.
 */
export function checkParameterDefinition(parameter: TemplateParameter): string | null {
  const { type, options, validationRegex: regex } = parameter;
  if (parameter.name === '') return 'a parameter needs a name.';
  const bounded = parameter.validationMin !== null || parameter.validationMax !== null;
  if (type !== 'number' && (bounded || parameter.validationMonotonic !== ''))
    return `min, max and monotonic need the type number, not ${type}.`;
  if (regex !== '' && type !== 'string') return `a regex needs the type string, not ${type}.`;
  if (regex !== '' && compileRegex(regex) === null)
    return `the regular expression ${JSON.stringify(regex)} is not valid in RE2 syntax (no look-around, no back-references).`;
  if (regex !== '' && parameter.validationError === '') return 'a regex needs an error text.';
  const names = new Set<string>();
  const values = new Set<string>();
  for (const option of options) {
    if (names.has(option.name)) return `the option name "${option.name}" is used twice.`;
    if (values.has(option.value)) return `the option value "${option.value}" is used twice.`;
    names.add(option.name);
    values.add(option.value);
    // Options of a multi-select are the single texts of the list.
    const plain = { ...parameter, options: [], required: false, validationRegex: '' };
    const problem = parameter.formType === 'multi-select' ? null : typeProblem(plain, option.value, undefined);
    if (problem !== null) return `the option "${option.name}" has a bad value: ${problem}`;
  }
  return null;
}
