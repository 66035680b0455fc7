import { getTableColumns } from 'drizzle-orm';
import type { PgTable } from 'drizzle-orm/pg-core';
import type { AuditDiff } from '../schema/audit-logs.ts';
import { templateVersions, templates } from '../schema/templates.ts';
import { userSecrets } from '../schema/user-secrets.ts';
import { apiKeys, gitsshkeys, groups, organizationMembers, organizations, users } from '../schema/users.ts';
import { workspaceBuilds, workspaces } from '../schema/workspaces.ts';

interface AuditedTable {
  readonly table: PgTable;
  /** Shown with old and new value. */
  readonly tracked: readonly string[];
  /** Shown as changed, both values blank. */
  readonly secret: readonly string[];
  /** Never shown. */
  readonly ignored: readonly string[];
}

/**
 * Which columns of an audited row appear in its diff; every column is named once, a test holds it, and a column nobody
 * named is ignored. Keys are the resource types of the audit log. Source: spec/07 §11.
 */
export const auditedTables = {
  user: {
    table: users,
    tracked: [
      'username',
      'email',
      'name',
      'status',
      'rbacRoles',
      'loginType',
      'quietHoursSchedule',
      'deleted',
      'isServiceAccount',
    ],
    secret: ['hashedPassword'],
    ignored: ['id', 'avatarUrl', 'lastSeenAt', 'themePreference', 'isSystem', 'createdAt', 'updatedAt'],
  },
  api_key: {
    table: apiKeys,
    tracked: ['userId', 'expiresAt', 'createdAt', 'lastUsed', 'tokenName', 'scopes', 'allowList'],
    secret: ['hashedSecret'],
    ignored: ['id', 'lifetimeSeconds', 'loginType', 'ipAddress', 'updatedAt'],
  },
  organization: {
    table: organizations,
    tracked: [
      'name',
      'displayName',
      'description',
      'icon',
      'deleted',
      'shareableWorkspaceOwners',
      'defaultOrgMemberRoles',
    ],
    secret: [],
    ignored: ['id', 'isDefault', 'createdAt', 'updatedAt'],
  },
  organization_member: {
    table: organizationMembers,
    tracked: ['organizationId', 'userId', 'roles'],
    secret: [],
    ignored: ['createdAt', 'updatedAt'],
  },
  group: {
    table: groups,
    tracked: ['name', 'displayName', 'avatarUrl', 'quotaAllowance'],
    secret: [],
    ignored: ['id', 'organizationId', 'source'],
  },
  git_ssh_key: {
    table: gitsshkeys,
    tracked: ['publicKey'],
    secret: ['privateKey'],
    ignored: ['userId', 'createdAt', 'updatedAt'],
  },
  user_secret: {
    table: userSecrets,
    tracked: ['name', 'description', 'envName', 'filePath', 'enabled'],
    secret: ['value'],
    ignored: ['id', 'userId', 'valueKeyId', 'valueBytes', 'createdAt', 'updatedAt'],
  },
  template: {
    table: templates,
    tracked: [
      'name',
      'displayName',
      'description',
      'icon',
      'activeVersionId',
      'deleted',
      'deprecated',
      'defaultTtlMs',
      'activityBumpMs',
      'allowUserAutostart',
      'allowUserAutostop',
      'allowUserCancelWorkspaceJobs',
      'autostopRequirementDaysOfWeek',
      'autostopRequirementWeeks',
      'autostartBlockDaysOfWeek',
      'failureTtlMs',
      'timeTilAutostopNotifyMs',
      'timeTilDormantMs',
      'timeTilDormantAutodeleteMs',
      'requireActiveVersion',
      'maxPortSharingLevel',
      'useClassicParameterFlow',
      'corsBehavior',
      'disableModuleCache',
      'instantClaim',
      'userAcl',
      'groupAcl',
    ],
    secret: [],
    ignored: ['id', 'createdAt', 'updatedAt', 'organizationId', 'provisioner', 'createdBy'],
  },
  template_version: {
    table: templateVersions,
    tracked: ['name', 'readme', 'templateId', 'createdBy', 'archived'],
    secret: [],
    ignored: [
      'id',
      'createdAt',
      'updatedAt',
      'organizationId',
      'message',
      'jobId',
      'externalAuthProviders',
      'sourceExampleId',
      'hasAiTask',
      'hasExternalAgent',
    ],
  },
  workspace: {
    table: workspaces,
    tracked: [
      'name',
      'ownerId',
      'templateId',
      'autostartSchedule',
      'ttlMs',
      'dormantAt',
      'deletingAt',
      'automaticUpdates',
      'favorite',
      'nextStartAt',
      'userAcl',
      'groupAcl',
      'deleted',
    ],
    secret: [],
    ignored: [
      'id',
      'createdAt',
      'updatedAt',
      'organizationId',
      'lastUsedAt',
      'failedAt',
      'lifecycleRetryAfter',
      'lifecycleAttempts',
      'claimedAt',
      'latestBuildId',
    ],
  },
  workspace_build: {
    table: workspaceBuilds,
    tracked: ['templateVersionId'],
    secret: [],
    ignored: [
      'id',
      'createdAt',
      'updatedAt',
      'workspaceId',
      'buildNumber',
      'transition',
      'reason',
      'initiatorId',
      'jobId',
      'deadline',
      'maxDeadline',
      'dailyCost',
      'templateVersionPresetId',
      'hasAiTask',
      'hasExternalAgent',
      'isLatest',
      'active',
      'possibleOrphans',
      'aiTaskAppId',
      'notifiedAutostopDeadline',
      'prebuildStage',
      'resourceReplacements',
      'handedOver',
      'claimDrift',
      'refreshOnly',
    ],
  },
} as const satisfies Record<string, AuditedTable>;

export type AuditedTableName = keyof typeof auditedTables;

const comparable = (value: unknown): unknown => (value instanceof Date ? value.toISOString() : value);
const differs = (left: unknown, right: unknown) =>
  JSON.stringify(comparable(left) ?? null) !== JSON.stringify(comparable(right) ?? null);

/**
 * Changed fields of a row, under their column names. `before` null = created, `after` null = deleted; fields that a
 * partial row leaves out are taken as unchanged.
 */
export function auditDiff(
  name: AuditedTableName,
  before: Readonly<Record<string, unknown>> | null,
  after: Readonly<Record<string, unknown>> | null,
): AuditDiff {
  const audited: AuditedTable = auditedTables[name];
  const columns = getTableColumns(audited.table);
  const diff: AuditDiff = {};
  for (const [fields, secret] of [
    [audited.tracked, false],
    [audited.secret, true],
  ] as const)
    for (const field of fields) {
      const known = (before === null || field in before) && (after === null || field in after);
      if (!known || !differs(before?.[field], after?.[field])) continue;
      const column = columns[field]?.name ?? field;
      diff[column] = secret
        ? { old: '', new: '', secret: true }
        : { old: comparable(before?.[field]) ?? null, new: comparable(after?.[field]) ?? null, secret: false };
    }
  return diff;
}
