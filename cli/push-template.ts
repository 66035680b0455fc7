import type { Client } from './client.ts';
import { followJob } from './follow-job.ts';
import type { Output } from './output.ts';
import { packTemplate, readFrontMatter } from './pack-template.ts';
import {
  createTemplate,
  createVersion,
  findTemplate,
  getVersionById,
  importFailure,
  promoteVersion,
  uploadArchive,
  versionLogPath,
} from './templates.ts';
import type { JobLog, ParameterValue, Template, TemplateVersion } from './types.ts';

export interface PushTemplate {
  readonly directory: string;
  readonly name: string;
  readonly organization: string;
  readonly versionName?: string | undefined;
  readonly message?: string | undefined;
  readonly variables: readonly ParameterValue[];
  /** Whether new workspaces use the version from now on; the first version of a template always is active. */
  readonly activate: boolean;
  /** Asked before a live template gets another version; false ends the push with nothing done. */
  readonly confirm?: (template: Template) => Promise<boolean>;
  readonly signal?: AbortSignal | undefined;
  /** Log rows that are worth a line; all by default. */
  readonly shows?: (log: JobLog) => boolean;
}
export type Pushed =
  | { readonly kind: 'declined' }
  /** The import goes on at the server, nobody watches it any more. */
  | { readonly kind: 'left'; readonly version: TemplateVersion }
  | {
      readonly kind: 'pushed';
      readonly version: TemplateVersion;
      readonly template: Template;
      readonly created: boolean;
      readonly active: boolean;
    };

/**
 * Directory → archive → version → real import, followed live → template created, or the version made the active one.
 * Throws CliError when the import does not succeed; the template is then as it was.
 */
export async function pushTemplate(client: Client, output: Output, push: PushTemplate): Promise<Pushed> {
  const { directory, name, organization, activate, signal } = push;
  const { bytes, files } = await packTemplate(directory);
  const existing = await findTemplate(client, organization, name);
  if (existing !== undefined && activate && (await push.confirm?.(existing)) === false) return { kind: 'declined' };
  const fileId = await output.progress.step(
    `upload ${name}`,
    () => uploadArchive(client, bytes),
    () => `${files.length} files, ${Math.ceil(bytes.length / 1024)} KiB`,
  );
  const created = await createVersion(client, organization, {
    fileId,
    templateId: existing?.id,
    name: push.versionName,
    message: push.message,
    variables: push.variables,
  });
  const version = await followJob(client, output, {
    title: `import version ${created.name}`,
    path: versionLogPath(created.id),
    read: () => getVersionById(client, created.id),
    signal,
    ...(push.shows !== undefined && { shows: push.shows }),
  });
  if (signal?.aborted === true) return { kind: 'left', version };
  if (version.job.status !== 'succeeded') throw await importFailure(client, version);
  if (existing === undefined) {
    const about = readFrontMatter(directory);
    const template = await createTemplate(client, organization, { name, versionId: version.id, about });
    return { kind: 'pushed', version, template, created: true, active: true };
  }
  if (activate) await promoteVersion(client, existing.id, version.id);
  const template = (await findTemplate(client, organization, name)) ?? existing;
  return { kind: 'pushed', version, template, created: false, active: activate };
}
