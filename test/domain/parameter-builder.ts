import type { TemplateParameter } from '../../domain/provisioned.ts';

/** A mutable, optional text without checks; the test states what matters. */
export const parameter = (name: string, overrides: Partial<TemplateParameter> = {}): TemplateParameter => ({
  name,
  displayName: '',
  description: '',
  icon: '',
  type: 'string',
  formType: 'input',
  mutable: true,
  defaultValue: '',
  required: false,
  options: [],
  validationRegex: '',
  validationError: '',
  validationMonotonic: '',
  validationMin: null,
  validationMax: null,
  displayOrder: 0,
  ephemeral: false,
  ...overrides,
});

export const option = (value: string, name = value) => ({ name, value, description: '', icon: '' });
