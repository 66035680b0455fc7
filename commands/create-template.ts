import { randomUUID } from 'node:crypto';
import { transaction } from '../db/client.ts';
import { notifyNewPools } from '../db/queries/template-effects.ts';
import { lockVersion, updateVersion } from '../db/queries/template-versions.ts';
import { insertTemplate } from '../db/queries/templates.ts';
import { authorize } from '../domain/authorization.ts';
import { invalidField, notFound } from '../domain/errors.ts';
import { type TemplateSettingsInput, newTemplateSettings } from '../domain/template-settings.ts';
import { type Caller, withConflicts } from './caller.ts';
import { type TemplateDeps, auditTemplate, auditVersion } from './template-row.ts';

export interface CreateTemplate {
  readonly organizationId: string;
  readonly versionId: string;
  readonly settings: TemplateSettingsInput & { readonly name: string };
  /** Without it everybody in the organization may use the template. */
  readonly disableEveryoneGroupAccess: boolean;
}

/**
 * Makes a template of an imported version that belongs to none yet. Returns its id. Throws NOT_FOUND (version), CONFLICT
 * (name) and INVALID_INPUT naming the fields. Source: spec/06 §6.
 */
export async function createTemplate(deps: TemplateDeps, caller: Caller, input: CreateTemplate): Promise<string> {
  const { organizationId, versionId } = input;
  authorize(caller.subject, 'create', { type: 'template', organizationId });
  const settings = newTemplateSettings(input.settings);
  return withConflicts({ templates_organization_name_idx: 'name' }, () =>
    transaction(deps.db, async (tx) => {
      const version = await lockVersion(tx, versionId);
      if (version === undefined || version.organizationId !== organizationId) throw notFound();
      if (version.templateId !== null)
        throw invalidField('template_version_id', 'the version belongs to a template already');
      if (version.archived) throw invalidField('template_version_id', 'the version is archived');
      if (version.jobStatus !== 'succeeded')
        throw invalidField('template_version_id', `the import of the version has status ${version.jobStatus}`);
      const now = deps.now();
      const template = {
        ...settings,
        id: randomUUID(),
        organizationId,
        provisioner: version.provisioner,
        activeVersionId: version.id,
        createdBy: caller.subject.id,
        userAcl: {},
        groupAcl: input.disableEveryoneGroupAccess ? {} : { [organizationId]: ['use'] },
        createdAt: now,
        updatedAt: now,
      };
      await insertTemplate(tx, template);
      const joined = { templateId: template.id };
      await updateVersion(tx, version.id, { ...joined, updatedAt: now });
      await auditTemplate(tx, caller, template, { action: 'create', now, before: null, after: template });
      await auditVersion(tx, caller, version, {
        action: 'write',
        now,
        before: version,
        after: { ...version, ...joined },
      });
      await notifyNewPools(tx, template);
      return template.id;
    }),
  );
}
