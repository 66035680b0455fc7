/** Ids of the message templates, as clients know them. Source: spec/07 §12. */
export const notificationTemplates = {
  workspaceOutOfMemory: { id: 'a9d027b4-ac49-4fb1-9f6d-45af15f64e7a', name: 'Workspace Out Of Memory' },
  workspaceOutOfDisk: { id: 'f047f6a3-5713-40f7-85aa-0394cce9fa3a', name: 'Workspace Out Of Disk' },
  prebuildResourceReplaced: {
    id: '89d9745a-816e-4695-a17f-3d0a229e2b8d',
    name: 'Prebuilt Workspace Resource Replaced',
  },
  prebuildFailureLimitReached: { id: '414d9331-c1fc-4761-b40c-d1f4702279eb', name: 'Prebuild Failure Limit Reached' },
  prebuildValidationFailed: { id: '5e0f4f0c-5a63-4d0b-9a58-3c6f4c7e9b21', name: 'Prebuild Validation Failed' },
} as const;
export type NotificationTemplate = (typeof notificationTemplates)[keyof typeof notificationTemplates];

/** Names the fact, so that it is told once however often it is reported: since when the agent's monitor has been NOK. */
export const monitorEventKey = (agentId: string, kind: 'memory' | 'volumes', nokSince: Date): string =>
  `monitor:${agentId}:${kind}:${nokSince.toISOString()}`;

/** What a notification is about; labels are names, `data` is whatever a writer's template needs beyond them. */
export interface NotificationFacts {
  readonly labels: Readonly<Record<string, string>>;
  readonly data: Readonly<Record<string, unknown>>;
}
const workspaceIcon = 'DEFAULT_WORKSPACE_ICON';
const templateIcon = 'DEFAULT_TEMPLATE_ICON';

export interface RenderedNotification {
  readonly title: string;
  /** Plain text that is also Markdown. */
  readonly content: string;
  /** A word that clients have a picture for. */
  readonly icon: string;
  /** Links within the deployment, without its address. */
  readonly actions: readonly { readonly label: string; readonly url: string }[];
}

/**
 * The words of a message. Never fails: it runs in the transaction of the fact it tells, which must not be lost for a label that
 * a writer forgot. What is missing reads `?`, and a link that needs it is left out. Source: spec/07 §12.
 */
export function renderNotification(
  template: NotificationTemplate,
  { labels, data }: NotificationFacts,
): RenderedNotification {
  const of = (name: string): string => labels[name] ?? '?';
  const pool = `Preset "${of('preset')}" of version "${of('template_version')}" of template "${of('template')}" (organization "${of('org')}")`;
  const toTemplate = linkTo('View template', ['/templates/', labels['template']]);
  switch (template.name) {
    case 'Workspace Out Of Memory':
      return {
        title: `Your workspace "${of('workspace')}" is low on memory`,
        content: `The memory of workspace "${of('workspace')}" has reached its threshold of ${of('threshold')}.`,
        icon: workspaceIcon,
        actions: linkTo('View workspace', ['/@me/', labels['workspace']]),
      };
    case 'Workspace Out Of Disk': {
      const volumes = listOf(data['volumes']).map(
        (volume) => `- ${textOf(fieldOf(volume, 'path'))}: over ${textOf(fieldOf(volume, 'threshold'))}`,
      );
      const which = volumes.length === 1 ? 'A volume has' : 'Volumes have';
      return {
        title: `Your workspace "${of('workspace')}" is low on disk space`,
        content: [`${which} reached the threshold:`, ...volumes].join('\n'),
        icon: workspaceIcon,
        actions: linkTo('View workspace', ['/@me/', labels['workspace']]),
      };
    }
    case 'Prebuilt Workspace Resource Replaced': {
      const replaced = entriesOf(data['replacements']).map(([address, paths]) => `- ${address}: ${textOf(paths)}`);
      return {
        title: 'A claim of a prebuilt workspace replaced resources',
        content: [
          `The claim of workspace "${of('workspace')}" by ${of('claimant')} (build ${of('workspace_build_num')}) replaced resources, which takes the time that the prebuild should save:`,
          ...replaced,
          `${pool}.`,
        ].join('\n'),
        icon: templateIcon,
        actions: [...linkTo('View workspace', ['/@', labels['claimant'], '/', labels['workspace']]), ...toTemplate],
      };
    }
    case 'Prebuild Failure Limit Reached':
      return {
        title: `Prebuilds of preset "${of('preset')}" keep failing`,
        content: `${pool} has failed ${of('failure_count')} times: no prebuilds are made before there is a new version or \`berth prebuilds reconcile\` is called.`,
        icon: templateIcon,
        actions: toTemplate,
      };
    case 'Prebuild Validation Failed':
      return {
        title: `Prebuilds of preset "${of('preset')}" cannot be requested`,
        content: `${pool} gives no valid build: no prebuilds are made before there is a new version or \`berth prebuilds reconcile\` is called.\n${of('error')}`,
        icon: templateIcon,
        actions: toTemplate,
      };
  }
}

function linkTo(label: string, parts: readonly (string | undefined)[]): RenderedNotification['actions'] {
  return parts.includes(undefined) ? [] : [{ label, url: parts.join('') }];
}

// `data` is whatever was stored: nothing is believed of its shape.
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? (value as unknown[]) : []);
const entriesOf = (value: unknown): [string, unknown][] =>
  typeof value === 'object' && value !== null ? Object.entries(value) : [];
const fieldOf = (value: unknown, name: string): unknown => entriesOf(value).find(([key]) => key === name)?.[1];
const textOf = (value: unknown): string => (typeof value === 'string' ? value : '?');
