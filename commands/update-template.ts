import { type Config, quietHoursSettings } from '../config.ts';
import { transaction } from '../db/client.ts';
import { notify, prebuildsChannel } from '../db/notifications.ts';
import { notifyTemplateWatchers } from '../db/queries/template-effects.ts';
import { updateTemplate as writeTemplate } from '../db/queries/templates.ts';
import {
  type TemplateSettingsInput,
  changedTemplateSettings,
  planWorkspaceEffects,
} from '../domain/template-settings.ts';
import type { Logger } from '../telemetry/logger.ts';
import { applyTemplateEffects } from './apply-template-effects.ts';
import { type Caller, withConflicts } from './caller.ts';
import { type TemplateDeps, auditTemplate, lockTemplateFor } from './template-row.ts';

export interface UpdateTemplate {
  readonly templateId: string;
  readonly settings: TemplateSettingsInput;
  /** true takes `use` from everybody in the organization; false leaves the ACL as it is. */
  readonly disableEveryoneGroupAccess: boolean;
  readonly updateWorkspaceLastUsedAt: boolean;
  readonly updateWorkspaceDormantAt: boolean;
  /** CODER_TEMPLATE_PATCH_ZERO_FILL. */
  readonly zeroFill: boolean;
}

/**
 * Changes settings and, in the same transaction, what they mean for the template's live workspaces. false = nothing
 * changed and nothing was written (304). Throws CONFLICT (name) and INVALID_INPUT. Source: spec/06 §6, §6.1.
 */
export async function updateTemplate(
  deps: TemplateDeps & { readonly config: Config; readonly logger: Logger },
  caller: Caller,
  input: UpdateTemplate,
): Promise<boolean> {
  return withConflicts({ templates_organization_name_idx: 'name' }, () =>
    transaction(deps.db, async (tx) => {
      const before = await lockTemplateFor(tx, caller, { templateId: input.templateId, action: 'update' });
      const settings = changedTemplateSettings(before, input.settings, { zeroFill: input.zeroFill });
      const { [before.organizationId]: everyone, ...otherGroups } = before.groupAcl;
      const closes = input.disableEveryoneGroupAccess && everyone !== undefined;
      const change = { ...settings, ...(closes && { groupAcl: otherGroups }) };
      const touches = input.updateWorkspaceLastUsedAt || input.updateWorkspaceDormantAt;
      if (Object.keys(change).length === 0 && !touches) return false;
      const now = deps.now();
      const after = { ...before, ...change };
      // Flags alone change no template.
      if (Object.keys(change).length > 0) await writeTemplate(tx, before.id, { ...change, updatedAt: now });
      await applyTemplateEffects(
        tx,
        { quietHours: quietHoursSettings(deps.config), logger: deps.logger },
        {
          template: after,
          effects: planWorkspaceEffects(before, settings),
          touches: input.updateWorkspaceLastUsedAt,
          restartsDormancy: input.updateWorkspaceDormantAt,
          now,
          by: caller.subject.name,
        },
      );
      await auditTemplate(tx, caller, after, { action: 'write', now, before, after });
      await notifyTemplateWatchers(tx, before.id);
      // A deprecated template has no pools.
      if (settings.deprecated !== undefined) await notify(tx, prebuildsChannel, before.id);
      return true;
    }),
  );
}
