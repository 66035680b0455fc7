import { describe, expect, test } from 'vitest';
import { notificationTemplates, renderNotification } from '../../domain/notifications.ts';

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
