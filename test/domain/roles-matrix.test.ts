import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { matrixPath, renderRolesMatrix } from './roles-matrix.ts';

const stored = readFileSync(matrixPath, 'utf8');
const bits = new Map<string, boolean>(
  stored
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => {
      const [role, type, action, where, bit] = line.split('\t');
      return [`${role} ${type}:${action} ${where}` as string, bit === '1'] as const;
    }),
);
const bit = (key: string) => {
  const value = bits.get(key);
  if (value === undefined) throw new Error(`no such line: ${key}`);
  return value;
};

describe('the permission table', () => {
  test('is the one that was reviewed', () => {
    expect(bits.size).toBeGreaterThanOrEqual(1500);
    expect(renderRolesMatrix()).toBe(stored);
  });

  // Read off spec/07 §4.1 by hand, so that the generated table cannot drift together with the code.
  test.each([
    ['owner workspace:ssh elsewhere', true],
    ['owner workspace_dormant:start other', false],
    ['owner workspace_dormant:stop other', true],
    ['owner prebuilt_workspace:delete elsewhere', true],
    ['owner user_secret:read other', false],
    ['owner user_secret:read own', true],
    ['owner usage_event:read other', false],
    ['owner ai_seat:read other', false],
    ['owner crypto_key:read other', true],
    ['owner crypto_key:update other', false],
    ['owner group_member:read elsewhere', true],
    ['auditor workspace:read other', false],
    ['auditor audit_log:read elsewhere', true],
    ['auditor template:read elsewhere', true],
    ['auditor template:use elsewhere', false],
    ['auditor template:view_insights other', true],
    ['auditor debug_info:read other', false],
    ['template-admin workspace:read elsewhere', true],
    ['template-admin workspace:delete other', false],
    ['template-admin prebuilt_workspace:delete elsewhere', true],
    ['template-admin provisioner_jobs:create other', false],
    ['template-admin file:read other', true],
    ['user-admin user:create other', true],
    ['user-admin assign_org_role:assign elsewhere', true],
    ['user-admin assign_org_role:create elsewhere', false],
    ['user-admin api_key:create other', false],
    ['user-admin template:read other', false],
    ['member user:read own', true],
    ['member user:read other', false],
    ['member api_key:create own', true],
    ['member api_key:read other', false],
    ['member workspace:read own', false],
    ['member assign_role:read other', true],
    ['member inbox_notification:create own', false],
    ['organization-admin workspace:start other', true],
    ['organization-admin workspace:ssh other', false],
    ['organization-admin workspace:read elsewhere', false],
    ['organization-admin organization:update other', true],
    ['organization-admin organization:delete other', false],
    ['organization-admin user:read other', true],
    ['organization-template-admin prebuilt_workspace:delete other', true],
    ['organization-template-admin workspace:delete other', false],
    ['organization-user-admin organization_member:delete other', true],
    ['organization-user-admin template:read other', false],
    ['organization-auditor audit_log:read other', true],
    ['organization-auditor audit_log:read elsewhere', false],
    ['organization-member organization:read other', true],
    ['organization-member organization_member:read other', true],
    ['organization-member group_member:read own', true],
    ['organization-member group_member:read other', false],
    ['organization-member workspace:create own', false],
    ['organization-workspace-access workspace:create own', true],
    ['organization-workspace-access workspace:ssh own', true],
    ['organization-workspace-access workspace:read other', false],
    ['organization-workspace-access workspace_dormant:start own', false],
    ['organization-workspace-creation-ban workspace:create own', false],
  ])('%s is %s', (key, allowed) => {
    expect(bit(key)).toBe(allowed);
  });
});
