import { describe, expect, test } from 'vitest';
import { prebuildsOrchestrator } from '../../domain/actors.ts';
import {
  authorize,
  authorizeWorkspace,
  isAllowed,
  isWorkspaceAllowed,
  newWorkspaceObject,
  templateObject,
} from '../../domain/authorization.ts';
import type { WorkspaceAuthRow } from '../../domain/authorization.ts';
import { DomainError } from '../../domain/errors.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import { ownerWorkspaceAccessDisabled, unknownRoles, workspaceSharingDisabled } from '../../domain/roles.ts';
import type { Subject } from '../../domain/subject.ts';

const organizationId = 'aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa';
const otherOrganization = 'bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb';
const ids = {
  me: '11111111-1111-4111-8111-111111111111',
  you: '22222222-2222-4222-8222-222222222222',
  workspace: 'cccccccc-cccc-4ccc-8ccc-cccccccccccc',
  template: 'dddddddd-dddd-4ddd-8ddd-dddddddddddd',
  group: 'eeeeeeee-eeee-4eee-8eee-eeeeeeeeeeee',
};
const memberRoles = ['organization-member', 'organization-workspace-access'];

const user = (given: Partial<Subject> = {}): Subject => ({
  kind: 'user',
  id: ids.me,
  name: 'me',
  roles: [],
  organizations: { [organizationId]: memberRoles },
  groups: [organizationId],
  scopes: ['coder:all'],
  allowList: ['*:*'],
  ...given,
});
const inOrganization = (...roles: string[]) =>
  user({ organizations: { [organizationId]: [...memberRoles, ...roles] } });
const workspace = (given: Partial<WorkspaceAuthRow> = {}): WorkspaceAuthRow => ({
  id: ids.workspace,
  ownerId: ids.you,
  organizationId,
  dormantAt: null,
  userAcl: {},
  groupAcl: {},
  ...given,
});
const codeOf = (work: () => void): string => {
  try {
    work();
    return 'allowed';
  } catch (err) {
    return err instanceof DomainError ? err.code : 'unexpected';
  }
};

describe('the decision', () => {
  test('lets an owner of a workspace do everything with it, and nobody else in the organization', () => {
    const own = workspace({ ownerId: ids.me });
    for (const action of ['read', 'update', 'delete', 'start', 'stop', 'ssh', 'share'] as const)
      expect([action, isWorkspaceAllowed(user(), action, own)]).toEqual([action, true]);
    expect(isWorkspaceAllowed(user(), 'read', workspace())).toBe(false);
  });

  test('denies everything in an organization that the subject left, also to the owner of the object', () => {
    const gone = user({ organizations: {} });
    expect(isWorkspaceAllowed(gone, 'read', workspace({ ownerId: ids.me }))).toBe(false);
    expect(isWorkspaceAllowed(gone, 'read', workspace({ userAcl: { [ids.me]: ['admin'] } }))).toBe(false);
  });

  test('a creation ban beats ownership and organization-admin, not the site owner; start and stop go on', () => {
    const banned = inOrganization('organization-workspace-creation-ban', 'organization-admin');
    const own = workspace({ ownerId: ids.me });
    expect(isWorkspaceAllowed(banned, 'start', own)).toBe(true);
    expect(isWorkspaceAllowed(banned, 'stop', own)).toBe(true);
    expect(codeOf(() => authorizeWorkspace(banned, 'delete', own))).toBe('FORBIDDEN');
    expect(codeOf(() => authorize(banned, 'create', newWorkspaceObject(organizationId, ids.me)))).toBe('FORBIDDEN');
    const owner = user({ roles: ['owner'], organizations: banned.organizations });
    expect(isAllowed(owner, 'create', newWorkspaceObject(organizationId, ids.me))).toBe(true);
  });

  test('a negative permission cannot be overruled by an ACL', () => {
    const banned = inOrganization('organization-workspace-creation-ban');
    expect(
      isAllowed(banned, 'create_agent', {
        type: 'workspace',
        id: ids.workspace,
        organizationId,
        ownerId: ids.you,
        userAcl: { [ids.me]: ['admin'] },
      }),
    ).toBe(false);
  });

  test('an unknown role grants nothing and takes nothing away', () => {
    const subject = user({ roles: ['future-role', 'auditor'] });
    expect(isAllowed(subject, 'read', { type: 'audit_log' })).toBe(true);
    expect(isAllowed(user({ roles: ['future-role'] }), 'read', { type: 'audit_log' })).toBe(false);
    expect(unknownRoles(subject.roles)).toEqual(['future-role']);
  });

  test('names of object properties are no roles, ACL entries or organizations', () => {
    expect(isAllowed(user({ roles: ['__proto__', 'constructor'] }), 'read', { type: 'audit_log' })).toBe(false);
    expect(
      isAllowed(user({ groups: ['__proto__', 'constructor'] }), 'read', {
        type: 'template',
        organizationId,
        groupAcl: {},
      }),
    ).toBe(false);
  });

  test('owners lose ssh when owner workspace access is off, but not to their own workspaces', () => {
    const owner = inOrganization();
    const limited = { ...owner, roles: ['owner', ownerWorkspaceAccessDisabled] };
    expect(isWorkspaceAllowed({ ...owner, roles: ['owner'] }, 'ssh', workspace())).toBe(true);
    expect(isWorkspaceAllowed(limited, 'ssh', workspace())).toBe(false);
    expect(isWorkspaceAllowed(limited, 'start', workspace())).toBe(true);
    expect(isWorkspaceAllowed(limited, 'ssh', workspace({ ownerId: ids.me }))).toBe(true);
  });
});

describe('special workspaces', () => {
  test('a dormant workspace can be stopped and deleted, neither started nor connected to', () => {
    const dormant = workspace({ ownerId: ids.me, dormantAt: new Date() });
    expect(isWorkspaceAllowed(user(), 'stop', dormant)).toBe(true);
    expect(isWorkspaceAllowed(user(), 'delete', dormant)).toBe(true);
    expect(isWorkspaceAllowed(user(), 'update', dormant)).toBe(true);
    expect(codeOf(() => authorizeWorkspace(user(), 'start', dormant))).toBe('FORBIDDEN');
    expect(codeOf(() => authorizeWorkspace(user(), 'ssh', dormant))).toBe('FORBIDDEN');
  });

  test('an organization template admin deletes prebuilds, not ordinary workspaces', () => {
    const admin = inOrganization('organization-template-admin');
    expect(isWorkspaceAllowed(admin, 'delete', workspace({ ownerId: PREBUILDS_SYSTEM_USER_ID }))).toBe(true);
    expect(codeOf(() => authorizeWorkspace(admin, 'delete', workspace()))).toBe('FORBIDDEN');
    // update of a prebuild counts only as part of its deletion
    expect(isWorkspaceAllowed(admin, 'update', workspace({ ownerId: PREBUILDS_SYSTEM_USER_ID }))).toBe(false);
  });

  test('whoever may delete workspaces may delete prebuilds too', () => {
    const admin = inOrganization('organization-admin');
    expect(isWorkspaceAllowed(admin, 'delete', workspace())).toBe(true);
    expect(isWorkspaceAllowed(admin, 'delete', workspace({ ownerId: PREBUILDS_SYSTEM_USER_ID }))).toBe(true);
  });

  test('a claimed workspace is out of reach of the orchestrator and of prebuild rights at once', () => {
    const orchestrator = prebuildsOrchestrator({ organizationId });
    expect(isWorkspaceAllowed(orchestrator, 'delete', workspace({ ownerId: PREBUILDS_SYSTEM_USER_ID }))).toBe(true);
    expect(isWorkspaceAllowed(orchestrator, 'delete', workspace({ ownerId: ids.me }))).toBe(false);
    expect(isWorkspaceAllowed(inOrganization('organization-template-admin'), 'delete', workspace())).toBe(false);
  });
});

describe('access lists', () => {
  const template = (groupAcl: Record<string, string[]>, userAcl: Record<string, string[]> = {}) =>
    templateObject({ id: ids.template, organizationId, groupAcl, userAcl });

  test('use on a template reads and uses it, admin does everything', () => {
    const everyone = template({ [organizationId]: ['use'] });
    expect(isAllowed(user(), 'read', everyone)).toBe(true);
    expect(isAllowed(user(), 'use', everyone)).toBe(true);
    expect(codeOf(() => authorize(user(), 'update', everyone))).toBe('FORBIDDEN');
    expect(isAllowed(user(), 'update', template({}, { [ids.me]: ['admin'] }))).toBe(true);
    expect(codeOf(() => authorize(user(), 'update', template({})))).toBe('NOT_FOUND');
  });

  test('a shared workspace can be started and connected to, not changed, deleted or shared on', () => {
    const shared = workspace({ userAcl: { [ids.me]: ['use'] } });
    for (const action of ['read', 'start', 'stop', 'ssh', 'application_connect'] as const)
      expect([action, isWorkspaceAllowed(user(), action, shared)]).toEqual([action, true]);
    for (const action of ['update', 'delete', 'share'] as const)
      expect([action, codeOf(() => authorizeWorkspace(user(), action, shared))]).toEqual([action, 'FORBIDDEN']);
  });

  test('admin of a shared workspace may update it, and neither delete nor share it', () => {
    const shared = workspace({ groupAcl: { [ids.group]: ['admin'] } });
    const member = user({ groups: [organizationId, ids.group] });
    expect(isWorkspaceAllowed(member, 'update', shared)).toBe(true);
    expect(isWorkspaceAllowed(member, 'delete', shared)).toBe(false);
    expect(isWorkspaceAllowed(member, 'share', shared)).toBe(false);
    expect(isWorkspaceAllowed(user(), 'read', shared)).toBe(false);
  });

  test('guests need use_shared, which is gone where sharing is off', () => {
    const shared = workspace({ userAcl: { [ids.me]: ['use'] } });
    const without = user({ organizations: { [organizationId]: ['organization-member'] } });
    const off = user({
      organizations: { [organizationId]: ['organization-member-unshared', 'organization-workspace-access'] },
    });
    expect(isWorkspaceAllowed(without, 'read', shared)).toBe(false);
    expect(isWorkspaceAllowed(off, 'read', shared)).toBe(false);
    expect(isWorkspaceAllowed(off, 'share', workspace({ ownerId: ids.me }))).toBe(false);
    expect(isAllowed(off, 'read', { type: 'organization_member', id: ids.you, organizationId, ownerId: ids.you })).toBe(
      false,
    );
  });

  test('the deployment switch takes sharing from everybody, owners included', () => {
    const subject = { ...inOrganization(), roles: ['owner', workspaceSharingDisabled] };
    expect(isWorkspaceAllowed(subject, 'share', workspace({ ownerId: ids.me }))).toBe(false);
  });

  test('a dormant workspace stays closed for guests', () => {
    const shared = workspace({ dormantAt: new Date(), userAcl: { [ids.me]: ['use'] } });
    expect(isWorkspaceAllowed(user(), 'read', shared)).toBe(true);
    expect(isWorkspaceAllowed(user(), 'start', shared)).toBe(false);
  });
});

describe('keys', () => {
  const own = workspace({ ownerId: ids.me });

  test('a scope narrows what its user may do', () => {
    const reader = user({ scopes: ['workspace:read'] });
    expect(isWorkspaceAllowed(reader, 'read', own)).toBe(true);
    expect(codeOf(() => authorizeWorkspace(reader, 'start', own))).toBe('FORBIDDEN');
    expect(isWorkspaceAllowed(reader, 'read', workspace())).toBe(false);
  });

  test('a scope on workspaces covers dormant ones', () => {
    expect(isWorkspaceAllowed(user({ scopes: ['workspace:read'] }), 'read', { ...own, dormantAt: new Date() })).toBe(
      true,
    );
  });

  test('a missing scope is 403 for what the user could read, 404 for what he could not', () => {
    const templates = user({ scopes: ['template:read'] });
    expect(codeOf(() => authorizeWorkspace(templates, 'read', own))).toBe('FORBIDDEN');
    expect(codeOf(() => authorizeWorkspace(templates, 'read', workspace()))).toBe('NOT_FOUND');
  });

  test('an allow-list hides everything else', () => {
    const bound = user({ allowList: [`workspace:${ids.workspace}`] });
    expect(isWorkspaceAllowed(bound, 'read', own)).toBe(true);
    const another = { ...own, id: '99999999-9999-4999-8999-999999999999' };
    expect(codeOf(() => authorizeWorkspace(bound, 'read', another))).toBe('NOT_FOUND');
    expect(isAllowed(bound, 'create', newWorkspaceObject(organizationId, ids.me))).toBe(true);
    expect(isAllowed(bound, 'read', { type: 'user', id: ids.me, ownerId: ids.me })).toBe(false);
  });
});

describe('answers', () => {
  test('missing read is 404, missing right on something readable is 403', () => {
    expect(codeOf(() => authorizeWorkspace(user(), 'update', workspace()))).toBe('NOT_FOUND');
    expect(
      codeOf(() => authorize(user({ roles: ['auditor'] }), 'update', { type: 'user', id: ids.you, ownerId: ids.you })),
    ).toBe('FORBIDDEN');
  });

  test('creating is 403 where the place is known and 404 where it is not', () => {
    expect(codeOf(() => authorize(user(), 'create', { type: 'template', organizationId }))).toBe('FORBIDDEN');
    expect(codeOf(() => authorize(user(), 'create', { type: 'template', organizationId: otherOrganization }))).toBe(
      'NOT_FOUND',
    );
    expect(codeOf(() => authorize(user(), 'create', { type: 'user' }))).toBe('FORBIDDEN');
    expect(codeOf(() => authorize(user(), 'create', { type: 'api_key', ownerId: ids.you }))).toBe('NOT_FOUND');
  });

  test('an owner who asks for the secrets of another learns nothing', () => {
    const owner = user({ roles: ['owner'] });
    expect(codeOf(() => authorize(owner, 'read', { type: 'user_secret', ownerId: ids.you }))).toBe('NOT_FOUND');
  });

  test('a call without an actor is a programming error', () => {
    const nobody = undefined as unknown as Subject;
    expect(codeOf(() => authorize(nobody, 'read', { type: 'user' }))).toBe('NO_ACTOR');
    expect(codeOf(() => authorizeWorkspace(nobody, 'read', workspace()))).toBe('NO_ACTOR');
  });

  test('an action that the type does not have is never allowed', () => {
    expect(isAllowed(user({ roles: ['owner'] }), 'ssh', { type: 'template' })).toBe(false);
  });
});
