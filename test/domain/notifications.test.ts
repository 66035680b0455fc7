import { describe, expect, test } from 'vitest';
import { notificationTemplates, relativeTime, renderNotification } from '../../domain/notifications.ts';

const {
  workspaceOutOfMemory,
  workspaceOutOfDisk,
  prebuildResourceReplaced,
  prebuildFailureLimitReached,
  prebuildValidationFailed,
} = notificationTemplates;
const preset = { org: 'acme', template: 'dev', template_version: 'v2', preset: 'small' };
const toTemplate = { label: 'View template', url: '/templates/dev' };

describe('the words of a notification', () => {
  test('about memory name the workspace and the threshold', () => {
    const labels = { workspace: 'web', threshold: '80%' };
    expect(renderNotification(workspaceOutOfMemory, { labels, data: {} })).toEqual({
      title: 'Your workspace "web" is low on memory',
      content: 'The memory of workspace "web" has reached its threshold of 80%.',
      icon: 'DEFAULT_WORKSPACE_ICON',
      actions: [{ label: 'View workspace', url: '/@me/web' }],
    });
  });

  test('about disks name each volume', () => {
    const volumes = [
      { path: '/', threshold: '90%' },
      { path: '/home', threshold: '95%' },
    ];
    const { title, content } = renderNotification(workspaceOutOfDisk, {
      labels: { workspace: 'web' },
      data: { volumes },
    });
    expect(title).toBe('Your workspace "web" is low on disk space');
    expect(content).toBe('Volumes have reached the threshold:\n- /: over 90%\n- /home: over 95%');
  });

  test('about replaced resources list each address with its paths', () => {
    const { content, actions } = renderNotification(prebuildResourceReplaced, {
      labels: { ...preset, workspace: 'web', workspace_build_num: '2', claimant: 'ada' },
      data: { replacements: { 'docker_container.c[0]': 'env, name', 'null_resource.n': '' } },
    });
    expect(content.split('\n')).toEqual([
      expect.stringContaining('workspace "web" by ada (build 2)'),
      '- docker_container.c[0]: env, name',
      '- null_resource.n: ',
      'Preset "small" of version "v2" of template "dev" (organization "acme").',
    ]);
    expect(actions).toEqual([{ label: 'View workspace', url: '/@ada/web' }, toTemplate]);
  });

  test('about pools that were given up say why and what helps', () => {
    const failing = renderNotification(prebuildFailureLimitReached, {
      labels: { ...preset, failure_count: '3' },
      data: {},
    });
    expect(failing).toMatchObject({ title: 'Prebuilds of preset "small" keep failing', actions: [toTemplate] });
    expect(failing.content).toMatch(/^Preset "small" .* has failed 3 times: .*`berth prebuilds reconcile`/);
    const invalid = renderNotification(prebuildValidationFailed, {
      labels: { ...preset, error: 'disk: must have a value' },
      data: {},
    });
    expect(invalid.content).toMatch(/^Preset "small" .*\ndisk: must have a value$/);
  });

  test('about a dormant workspace say until when it can be woken, if it is deleted at all', () => {
    const { workspaceDormant } = notificationTemplates;
    const labels = { name: 'web', reason: 'it was not used for 30 days' };
    expect(renderNotification(workspaceDormant, { labels, data: {} })).toEqual({
      title: 'Your workspace "web" is dormant',
      content: 'Workspace "web" was marked as dormant. Reason: it was not used for 30 days.',
      icon: 'DEFAULT_WORKSPACE_ICON',
      actions: [{ label: 'View workspace', url: '/@me/web' }],
    });
    const deleted = renderNotification(workspaceDormant, {
      labels: { ...labels, timeTilDelete: 'in 3 days' },
      data: {},
    });
    expect(deleted.content).toMatch(/ It will be deleted in 3 days, unless you wake it\.$/);
  });

  test('about the lifecycle of a workspace name it, the reason, and what comes next', () => {
    const { workspaceAutobuildFailed, workspaceAutostopReminder, workspaceAutoUpdated, workspaceDeleted } =
      notificationTemplates;
    const content = (template: Parameters<typeof renderNotification>[0], labels: Record<string, string>) =>
      renderNotification(template, { labels, data: {} }).content;
    expect(content(workspaceAutobuildFailed, { name: 'web', reason: 'autostart' })).toBe(
      'The automatic build of workspace "web" failed. Reason: autostart.',
    );
    expect(
      content(workspaceAutobuildFailed, {
        name: 'web',
        reason: 'A value is missing.',
        retry: 'It is not tried again.',
      }),
    ).toBe('The automatic build of workspace "web" failed. Reason: A value is missing. It is not tried again.');
    expect(content(workspaceAutostopReminder, { workspace: 'web', timeTilShutdown: 'in 30 minutes' })).toBe(
      'Workspace "web" will stop in 30 minutes.',
    );
    expect(
      content(workspaceAutoUpdated, {
        name: 'web',
        initiator: 'autobuild',
        reason: 'autostart',
        template_version_name: 'v2',
        template_version_message: 'None provided',
      }),
    ).toBe(
      'Workspace "web" was moved to version "v2" of its template by autobuild (autostart). Message of the version: None provided',
    );
    expect(content(workspaceDeleted, { name: 'web', reason: 'autodelete', initiator: 'autobuild' })).toBe(
      'Workspace "web" was deleted by autobuild. Reason: autodelete.',
    );
    expect(
      content(notificationTemplates.workspaceMarkedForDeletion, {
        name: 'web',
        reason: 'x',
        timeTilDelete: 'in 7 days',
      }),
    ).toBe('Dormant workspace "web" will be deleted in 7 days, unless you wake it. Reason: x.');
  });

  test('about a build that failed tell administrators whose it was, and of what', () => {
    const labels = {
      name: 'web',
      workspace_owner_username: 'ada',
      workspace_build_number: '3',
      initiator: 'bob',
      template_name: 'dev',
      template_version_name: 'v2',
      organization: 'acme',
      reason: 'exit status 1',
    };
    expect(renderNotification(notificationTemplates.workspaceManualBuildFailed, { labels, data: {} })).toEqual({
      title: 'A build of workspace "web" failed',
      content:
        'Build 3 of workspace "web" of ada, which bob started, failed. It used version "v2" of template "dev" (organization "acme"). Reason: exit status 1.',
      icon: 'DEFAULT_TEMPLATE_ICON',
      actions: [{ label: 'View workspace', url: '/@ada/web' }],
    });
  });

  test('are found whatever is missing or of another shape; links that cannot be made are left out', () => {
    for (const template of Object.values(notificationTemplates))
      for (const data of [
        {},
        { volumes: 7, replacements: null },
        { volumes: [null, 'x', { path: 1 }], replacements: ['x', {}] },
      ]) {
        const { title, content, actions } = renderNotification(template, { labels: {}, data });
        expect([title, content].join('')).not.toMatch(/undefined|null|\[object/);
        expect(actions).toEqual([]);
      }
  });
});

const minuteMs = 60_000;
test.each([
  [0, 'now'],
  [29_000, 'now'],
  [minuteMs, 'in 1 minute'],
  [-minuteMs, '1 minute ago'],
  [30 * minuteMs, 'in 30 minutes'],
  [90 * minuteMs, 'in 90 minutes'],
  [120 * minuteMs, 'in 2 hours'],
  [-26 * 60 * minuteMs, '26 hours ago'],
  [72 * 60 * minuteMs, 'in 3 days'],
])('%i ms from now is %s', (ms, text) => {
  expect(relativeTime(ms)).toBe(text);
});
