import { z } from '@hono/zod-openapi';
import type { EvaluatedParameter } from '../../domain/evaluated-parameters.ts';
import type { TemplateParameter } from '../../domain/provisioned.ts';

const Option = z.object({ name: z.string(), description: z.string(), value: z.string(), icon: z.string() });

export const TemplateVersionParameter = z
  .object({
    name: z.string(),
    display_name: z.string().optional(),
    description: z.string(),
    description_plaintext: z.string(),
    type: z.enum(['string', 'number', 'bool', 'list(string)']),
    form_type: z.string(),
    mutable: z.boolean(),
    default_value: z.string(),
    icon: z.string(),
    options: z.array(Option),
    validation_error: z.string().optional(),
    validation_regex: z.string().optional(),
    validation_min: z.number().int().optional(),
    validation_max: z.number().int().optional(),
    validation_monotonic: z.enum(['increasing', 'decreasing']).optional(),
    required: z.boolean(),
    ephemeral: z.boolean(),
  })
  .openapi('TemplateVersionParameter');

/** Markdown without its marks, for places that show plain text. */
export const plainText = (markdown: string): string =>
  markdown
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replace(/^ {0,3}(?:#{1,6}|>|[-*+]|\d+\.) +/gm, '')
    .replace(/(\*\*|__|~~|`{1,3})/g, '')
    .replace(/(?<![\w*])[*_]([^*_\n]+)[*_](?![\w*])/g, '$1')
    .trim();

/** Rules that a parameter has; absent where it has none. */
const validation = (parameter: TemplateParameter) => ({
  ...(parameter.validationError !== '' && { validation_error: parameter.validationError }),
  ...(parameter.validationRegex !== '' && { validation_regex: parameter.validationRegex }),
  ...(parameter.validationMin !== null && { validation_min: parameter.validationMin }),
  ...(parameter.validationMax !== null && { validation_max: parameter.validationMax }),
  ...(parameter.validationMonotonic !== '' && { validation_monotonic: parameter.validationMonotonic }),
});

export const parameterView = (parameter: TemplateParameter): z.infer<typeof TemplateVersionParameter> => ({
  name: parameter.name,
  ...(parameter.displayName !== '' && { display_name: parameter.displayName }),
  description: parameter.description,
  description_plaintext: plainText(parameter.description),
  type: parameter.type,
  form_type: parameter.formType,
  mutable: parameter.mutable,
  default_value: parameter.defaultValue,
  icon: parameter.icon,
  options: parameter.options.map((option) => ({ ...option })),
  ...validation(parameter),
  required: parameter.required,
  ephemeral: parameter.ephemeral,
});

const HclString = z.object({ value: z.string(), valid: z.boolean() });
export const Diagnostics = z.array(
  z.object({
    severity: z.enum(['error', 'warning']),
    summary: z.string(),
    detail: z.string(),
    extra: z.object({ code: z.string() }),
  }),
);

export const PreviewParameter = z
  .object({
    name: z.string(),
    display_name: z.string(),
    description: z.string(),
    type: z.string(),
    form_type: z.string(),
    styling: z.object({}),
    mutable: z.boolean(),
    default_value: HclString,
    icon: z.string(),
    options: z.array(z.object({ name: z.string(), description: z.string(), value: HclString, icon: z.string() })),
    validations: z.array(
      z.object({
        validation_error: z.string().optional(),
        validation_regex: z.string().optional(),
        validation_min: z.number().int().optional(),
        validation_max: z.number().int().optional(),
        validation_monotonic: z.enum(['increasing', 'decreasing']).optional(),
      }),
    ),
    required: z.boolean(),
    order: z.number().int(),
    ephemeral: z.boolean(),
    value: HclString,
    diagnostics: Diagnostics,
  })
  .openapi('PreviewParameter');

export const diagnosticViews = (diagnostics: EvaluatedParameter['diagnostics']): z.infer<typeof Diagnostics> =>
  diagnostics.map(({ code, ...diagnostic }) => ({ ...diagnostic, extra: { code } }));

export function previewView({
  parameter,
  value,
  valid,
  diagnostics,
}: EvaluatedParameter): z.infer<typeof PreviewParameter> {
  const rules = validation(parameter);
  return {
    name: parameter.name,
    display_name: parameter.displayName,
    description: parameter.description,
    type: parameter.type,
    form_type: parameter.formType,
    styling: {},
    mutable: parameter.mutable,
    default_value: { value: parameter.defaultValue, valid: !parameter.required },
    icon: parameter.icon,
    options: parameter.options.map((option) => ({ ...option, value: { value: option.value, valid: true } })),
    validations: Object.keys(rules).length === 0 ? [] : [rules],
    required: parameter.required,
    order: parameter.displayOrder,
    ephemeral: parameter.ephemeral,
    value: { value, valid },
    diagnostics: diagnosticViews(diagnostics),
  };
}
