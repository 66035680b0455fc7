import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isAllowed } from '../../domain/authorization.ts';
import type { AuthObject } from '../../domain/authorization.ts';
import { resourceActions, resourceTypes } from '../../domain/permissions.ts';
import type { Action, ResourceType } from '../../domain/permissions.ts';
import { organizationRoles, siteRoles } from '../../domain/roles.ts';
import type { Subject } from '../../domain/subject.ts';

/**
 * The whole permission table, one line per (role, type, action, where): regenerate with
 * `npx tsx test/domain/roles-matrix.ts` after a deliberate change and read the diff line by line.
 */
export const matrixPath = fileURLToPath(new URL('./roles-matrix.tsv', import.meta.url));

const me = '11111111-1111-4111-8111-111111111111';
const other = '22222222-2222-4222-8222-222222222222';
const here = 'aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa';
const elsewhere = 'bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb';
const objectId = 'cccccccc-cccc-4ccc-8ccc-cccccccccccc';

/** Types whose rows belong to no organization. */
const siteTypes: readonly ResourceType[] = [
  'user',
  'user_secret',
  'file',
  'api_key',
  'crypto_key',
  'deployment_config',
  'deployment_stats',
  'debug_info',
  'system',
  'assign_role',
  'notification_message',
  'notification_template',
  'notification_preference',
  'inbox_notification',
  'oauth2_app',
  'oauth2_app_secret',
  'oauth2_app_code_token',
  'usage_event',
  'ai_seat',
  'replicas',
  'workspace_proxy',
];

const subjectWith = (role: string): Subject => ({
  kind: 'user',
  id: me,
  name: 'me',
  roles: role in siteRoles ? [role] : [],
  organizations: { [here]: role in organizationRoles ? [role] : [] },
  groups: [here],
  scopes: ['coder:all'],
  allowList: ['*:*'],
});

const places = {
  own: (type: ResourceType): AuthObject => ({
    type,
    id: objectId,
    ownerId: me,
    ...(!siteTypes.includes(type) && { organizationId: here }),
  }),
  other: (type: ResourceType): AuthObject => ({
    type,
    id: objectId,
    ownerId: other,
    ...(!siteTypes.includes(type) && { organizationId: here }),
  }),
  elsewhere: (type: ResourceType): AuthObject => ({ type, id: objectId, ownerId: other, organizationId: elsewhere }),
};

export function renderRolesMatrix(): string {
  const lines = ['role\ttype\taction\twhere\tallowed'];
  for (const role of ['member', ...Object.keys(siteRoles), ...Object.keys(organizationRoles)])
    for (const type of resourceTypes)
      for (const action of resourceActions[type] as readonly Action[])
        for (const [where, object] of Object.entries(places))
          lines.push(
            [role, type, action, where, isAllowed(subjectWith(role), action, object(type)) ? '1' : '0'].join('\t'),
          );
  return `${lines.join('\n')}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(matrixPath, renderRolesMatrix());
