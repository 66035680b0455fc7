import { describe, expect, test } from 'vitest';
import { actorNames, actorRole } from '../../domain/actor-permissions.ts';
import {
  agentApi,
  autobuild,
  buildRunner,
  healthReader,
  jobJanitor,
  notifier,
  prebuildClaimer,
  prebuildsOrchestrator,
  secretInjector,
  templateImporter,
} from '../../domain/actors.ts';
import { authorize, isAllowed, isWorkspaceAllowed } from '../../domain/authorization.ts';
import type { WorkspaceAuthRow } from '../../domain/authorization.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import { resourceActions, resourceTypes } from '../../domain/permissions.ts';
import type { Action } from '../../domain/permissions.ts';
import { resolveRoles } from '../../domain/roles.ts';

const id = (digit: string) =>
  `${digit.repeat(8)}-${digit.repeat(4)}-4${digit.repeat(3)}-8${digit.repeat(3)}-${digit.repeat(12)}`;
const organizationId = id('a');
const [workspaceA, workspaceB, jobA, jobB, owner] = [id('1'), id('2'), id('3'), id('4'), id('5')];
const row = (given: Partial<WorkspaceAuthRow> = {}): WorkspaceAuthRow => ({
  id: workspaceA,
  ownerId: owner,
  organizationId,
  dormantAt: null,
  userAcl: {},
  groupAcl: {},
  ...given,
});
const runner = buildRunner({ workspaceId: workspaceA, buildId: id('6'), jobId: jobA, ownerId: owner, organizationId });

describe('actors', () => {
  test('none of them may do everything, and none has a right on what it is not there for', () => {
    for (const name of actorNames) {
      const [role] = actorRole(name);
      const granted = resourceTypes.flatMap((type) =>
        (resourceActions[type] as readonly Action[]).filter((action) =>
          [role!.site, role!.org, role!.member, role!.user].some((level) => level.vote(type, action) === 1),
        ),
      );
      expect([name, granted.length > 0 && granted.length < 35]).toEqual([name, true]);
    }
    for (const name of actorNames.filter((each) => each !== 'secret-injector'))
      expect([
        name,
        actorRole(name).some(
          ({ site, user }) => site.vote('user_secret', 'read') === 1 || user.vote('user_secret', 'read') === 1,
        ),
      ]).toEqual([name, false]);
  });

  test('their names are no roles that a user could be given', () => {
    expect(resolveRoles([...actorNames])).toEqual([]);
    expect(isAllowed({ ...runner, kind: 'user', roles: ['build-runner'] }, 'read', { type: 'file', id: id('7') })).toBe(
      false,
    );
  });

  test('a build runner touches its own workspace and job only', () => {
    for (const action of ['read', 'update', 'start', 'stop', 'delete'] as const) {
      expect([action, isWorkspaceAllowed(runner, action, row())]).toEqual([action, true]);
      expect([action, isWorkspaceAllowed(runner, action, row({ id: workspaceB }))]).toEqual([action, false]);
    }
    expect(isAllowed(runner, 'update', { type: 'provisioner_jobs', id: jobA, organizationId })).toBe(true);
    expect(isAllowed(runner, 'update', { type: 'provisioner_jobs', id: jobB, organizationId })).toBe(false);
    expect(isAllowed(runner, 'read', { type: 'user', id: id('9'), ownerId: id('9') })).toBe(false);
    expect(isAllowed(runner, 'share', { type: 'workspace', id: workspaceA, organizationId })).toBe(false);
    expect(isAllowed(runner, 'read', { type: 'template', id: id('8'), organizationId: id('b') })).toBe(false);
  });

  test('autobuild never deletes a workspace that is not dormant, nor one outside its tick', () => {
    const actor = autobuild({ workspaceIds: [workspaceA] });
    expect(isWorkspaceAllowed(actor, 'stop', row())).toBe(true);
    expect(isWorkspaceAllowed(actor, 'delete', row())).toBe(false);
    expect(isWorkspaceAllowed(actor, 'delete', row({ dormantAt: new Date() }))).toBe(true);
    expect(isWorkspaceAllowed(actor, 'start', row({ id: workspaceB }))).toBe(false);
  });

  test('the orchestrator owns what the prebuilds user owns, in its organization', () => {
    const actor = prebuildsOrchestrator({ organizationId });
    const prebuild = row({ ownerId: PREBUILDS_SYSTEM_USER_ID });
    expect(isWorkspaceAllowed(actor, 'start', prebuild)).toBe(true);
    expect(isWorkspaceAllowed(actor, 'delete', prebuild)).toBe(true);
    expect(isWorkspaceAllowed(actor, 'delete', row())).toBe(false);
    expect(isWorkspaceAllowed(actor, 'read', { ...prebuild, organizationId: id('b') })).toBe(false);
    expect(isWorkspaceAllowed(prebuildClaimer({ organizationId }), 'update', prebuild)).toBe(true);
    expect(isWorkspaceAllowed(prebuildClaimer({ organizationId }), 'update', row())).toBe(false);
  });

  test('the others stay in their corner', () => {
    expect(isAllowed(healthReader(), 'read', { type: 'provisioner_daemon' })).toBe(true);
    expect(isAllowed(healthReader(), 'update', { type: 'provisioner_daemon' })).toBe(false);
    expect(isWorkspaceAllowed(jobJanitor(), 'update', row())).toBe(true);
    expect(isWorkspaceAllowed(jobJanitor(), 'delete', row())).toBe(false);
    const importer = templateImporter({ versionId: id('7'), jobId: jobA, organizationId });
    expect(isAllowed(importer, 'update', { type: 'provisioner_jobs', id: jobA, organizationId })).toBe(true);
    expect(isAllowed(importer, 'update', { type: 'provisioner_jobs', id: jobB, organizationId })).toBe(false);
    expect(isAllowed(importer, 'delete', { type: 'template', id: id('8'), organizationId })).toBe(false);
    const injector = secretInjector({ ownerId: owner });
    expect(isAllowed(injector, 'read', { type: 'user_secret', ownerId: owner })).toBe(true);
    expect(isAllowed(injector, 'read', { type: 'user_secret', ownerId: id('9') })).toBe(false);
    expect(isAllowed(notifier({ messageId: id('7') }), 'read', { type: 'notification_message', id: id('8') })).toBe(
      false,
    );
    const agent = agentApi({ workspaceId: workspaceA, agentId: id('7'), ownerId: owner, organizationId });
    expect(() => authorize(agent, 'read', { type: 'workspace', id: workspaceA, organizationId })).not.toThrow();
    expect(isWorkspaceAllowed(agent, 'read', row({ id: workspaceB }))).toBe(false);
    expect(isWorkspaceAllowed(agent, 'start', row())).toBe(false);
  });
});
