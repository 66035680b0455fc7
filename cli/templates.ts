import { segment } from './client.ts';
import type { Client } from './client.ts';
import { CliError, exitCodes, usageError } from './errors.ts';
import type { FrontMatter } from './pack-template.ts';
import type { ParameterValue, Preset, Template, TemplateVariable, TemplateVersion } from './types.ts';

const organizationPath = (organization: string): string => `/api/v2/organizations/${segment(organization)}`;

export const findTemplate = (client: Client, organization: string, name: string): Promise<Template | undefined> =>
  client.find(`${organizationPath(organization)}/templates/${segment(name)}`);

/** Throws CliError (not found). */
export async function getTemplate(client: Client, organization: string, name: string): Promise<Template> {
  const found = await findTemplate(client, organization, name);
  if (found !== undefined) return found;
  throw new CliError(`There is no template ${name}`, {
    exitCode: exitCodes.notFound,
    next: 'berth templates list shows those that you may use',
  });
}

/** A version by its name, or the active one. Throws CliError (not found). */
export async function getVersion(
  client: Client,
  template: Template,
  name: string | undefined,
): Promise<TemplateVersion> {
  if (name === undefined) return client.get(`/api/v2/templateversions/${template.active_version_id}`);
  const found = await client.find<TemplateVersion>(`/api/v2/templates/${template.id}/versions/${segment(name)}`);
  if (found !== undefined) return found;
  throw new CliError(`The template ${template.name} has no version ${name}`, {
    exitCode: exitCodes.notFound,
    next: `berth templates versions ${template.name}`,
  });
}

/** Same bytes from the same user are the same file. */
export const uploadArchive = async (client: Client, bytes: Uint8Array): Promise<string> => {
  const raw = { type: 'application/x-tar', bytes };
  const file = await client.request<{ hash: string }>('/api/v2/files', { method: 'POST', raw, timeoutMs: 300_000 });
  return file.hash;
};

export interface NewVersion {
  readonly fileId: string;
  readonly templateId?: string | undefined;
  readonly name?: string | undefined;
  readonly message?: string | undefined;
  readonly variables: readonly ParameterValue[];
}

export const createVersion = (client: Client, organization: string, version: NewVersion): Promise<TemplateVersion> =>
  client.request(`${organizationPath(organization)}/templateversions`, {
    method: 'POST',
    json: {
      storage_method: 'file',
      provisioner: 'terraform',
      file_id: version.fileId,
      tags: {},
      user_variable_values: version.variables,
      ...(version.templateId !== undefined && { template_id: version.templateId }),
      ...(version.name !== undefined && { name: version.name }),
      ...(version.message !== undefined && { message: version.message }),
    },
  });

export const getVersionById = (client: Client, id: string): Promise<TemplateVersion> =>
  client.get(`/api/v2/templateversions/${id}`);
export const versionLogPath = (id: string): string => `/api/v2/templateversions/${id}/logs`;

export const createTemplate = (
  client: Client,
  organization: string,
  { name, versionId, about }: { name: string; versionId: string; about: FrontMatter },
): Promise<Template> =>
  client.request(`${organizationPath(organization)}/templates`, {
    method: 'POST',
    json: {
      name,
      template_version_id: versionId,
      ...(about.displayName !== undefined && { display_name: about.displayName }),
      ...(about.description !== undefined && { description: about.description.slice(0, 128) }),
      ...(about.icon !== undefined && { icon: about.icon }),
    },
  });

export const promoteVersion = (client: Client, templateId: string, versionId: string): Promise<unknown> =>
  client.request(`/api/v2/templates/${templateId}/versions`, { method: 'PATCH', json: { id: versionId } });

/** An import that did not succeed, as an error that names what would make it succeed. */
export async function importFailure(client: Client, version: TemplateVersion): Promise<CliError> {
  const { status, error, error_code: code } = version.job;
  if (status === 'canceled') return new CliError(`The import of version ${version.name} was canceled`);
  const detail = error !== undefined && { detail: error };
  if (code !== 'REQUIRED_TEMPLATE_VARIABLES')
    return new CliError(`The import of version ${version.name} failed`, {
      ...detail,
      next: 'correct what the log above names, then push again',
    });
  const variables = await client
    .get<TemplateVariable[]>(`/api/v2/templateversions/${version.id}/variables`)
    .catch(() => []);
  const missing = variables.filter(
    ({ required, value, default_value }) => required && value === '' && default_value === '',
  );
  return new CliError(`The import of version ${version.name} needs values for its variables`, {
    ...detail,
    validations: missing.map(({ name, description }) => ({ field: name, detail: description || 'has no value' })),
    next: `push again with ${missing.map(({ name }) => `--variable ${name}=…`).join(' ') || '--variable name=value'}`,
  });
}

/** A preset of a version by name, any case. Throws CliError (usage) naming those that exist. */
export async function getPreset(client: Client, versionId: string, name: string): Promise<Preset> {
  const presets = await client.get<Preset[]>(`/api/v2/templateversions/${versionId}/presets`);
  const found = presets.find((preset) => preset.Name.toLowerCase() === name.toLowerCase());
  if (found !== undefined) return found;
  const names = presets.map((preset) => preset.Name).join(', ');
  throw usageError(`There is no preset "${name}"`, names === '' ? 'the template has none' : `choose one of: ${names}`);
}

/**
 * Refuses parameter names that the version does not have. The server takes them silently for a build, because clients send
 * stale names after a template update; a person who types one has made a mistake. Throws CliError (usage).
 */
export async function requireKnownParameters(
  client: Client,
  versionId: string,
  values: readonly ParameterValue[],
): Promise<void> {
  if (values.length === 0) return;
  const known = await client.get<{ name: string }[]>(`/api/v2/templateversions/${versionId}/rich-parameters`);
  const names = known.map(({ name }) => name);
  const unknown = values.find(({ name }) => !names.includes(name));
  if (unknown !== undefined)
    throw usageError(
      `There is no parameter "${unknown.name}"`,
      names.length === 0 ? 'the template has none' : `choose from: ${names.join(', ')}`,
    );
}
