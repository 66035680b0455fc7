/** Ids of the message templates, as clients know them, and the labels that each wants. Source: spec/07 §12, spec/04 §9. */
export const notificationTemplates = {
  /** name, reason; `retry` if something can be said of the next attempt. To the owner. */
  workspaceAutobuildFailed: { id: '381df2a9-c0c0-4749-420f-80a9280c66f9', name: 'Workspace Autobuild Failed' },
  /**
   * name, template_name, template_version_name, organization, initiator, workspace_owner_username, workspace_build_number,
   * reason. To the template administrators.
   */
  workspaceManualBuildFailed: { id: '2faeee0f-26cb-4e96-821c-85ccb9f71513', name: 'Workspace Manual Build Failed' },
  /** name, reason; `timeTilDelete` only when it is going to be deleted. To the owner. */
  workspaceDormant: { id: '0ea69165-ec14-4314-91f1-69566ac3c5a0', name: 'Workspace Marked as Dormant' },
  /** name, reason, timeTilDelete. To the owner. */
  workspaceMarkedForDeletion: { id: '51ce2fdf-c9ca-4be1-8d70-628674f9bc42', name: 'Workspace Marked for Deletion' },
  /** name, initiator, reason, template_version_name, template_version_message. To the owner. */
  workspaceAutoUpdated: { id: 'c34a0c09-0704-4cac-bd1c-0c0146811c2b', name: 'Workspace Updated Automatically' },
  /** workspace, timeTilShutdown. To the owner. */
  workspaceAutostopReminder: { id: '6f6cb984-c167-4fa5-bb87-1058dd642779', name: 'Workspace Autostop Reminder' },
  /** name, reason, initiator. To the owner. */
  workspaceDeleted: { id: 'f517da0b-cdc9-410f-ab89-a86107c420ed', name: 'Workspace Deleted' },
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

/** Names the fact that a workspace went dormant then: its next dormancy is another one. */
export const dormantEventKey = (workspaceId: string, dormantAt: Date): string =>
  `workspace:${workspaceId}:dormant:${dormantAt.toISOString()}`;

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
  const named = `"${of('name')}"`;
  const toOwn = linkTo('View workspace', ['/@me/', labels['name']]);
  switch (template.name) {
    case 'Workspace Autobuild Failed':
      return {
        title: `An automatic build of your workspace ${named} failed`,
        content: sentences(`The automatic build of workspace ${named} failed.`, because(of('reason')), labels['retry']),
        icon: workspaceIcon,
        actions: toOwn,
      };
    case 'Workspace Manual Build Failed':
      return {
        title: `A build of workspace ${named} failed`,
        content: sentences(
          `Build ${of('workspace_build_number')} of workspace ${named} of ${of('workspace_owner_username')}, which ${of('initiator')} started, failed.`,
          `It used version "${of('template_version_name')}" of template "${of('template_name')}" (organization "${of('organization')}").`,
          because(of('reason')),
        ),
        icon: templateIcon,
        actions: linkTo('View workspace', ['/@', labels['workspace_owner_username'], '/', labels['name']]),
      };
    case 'Workspace Marked as Dormant':
      return {
        title: `Your workspace ${named} is dormant`,
        content: sentences(
          `Workspace ${named} was marked as dormant.`,
          because(of('reason')),
          labels['timeTilDelete'] === undefined
            ? undefined
            : `It will be deleted ${labels['timeTilDelete']}, unless you wake it.`,
        ),
        icon: workspaceIcon,
        actions: toOwn,
      };
    case 'Workspace Marked for Deletion':
      return {
        title: `Your workspace ${named} is marked for deletion`,
        content: sentences(
          `Dormant workspace ${named} will be deleted ${of('timeTilDelete')}, unless you wake it.`,
          because(of('reason')),
        ),
        icon: workspaceIcon,
        actions: toOwn,
      };
    case 'Workspace Updated Automatically':
      return {
        title: `Your workspace ${named} was updated`,
        content: sentences(
          `Workspace ${named} was moved to version "${of('template_version_name')}" of its template by ${of('initiator')} (${of('reason')}).`,
          `Message of the version: ${of('template_version_message')}`,
        ),
        icon: workspaceIcon,
        actions: toOwn,
      };
    case 'Workspace Autostop Reminder':
      return {
        title: `Your workspace "${of('workspace')}" stops soon`,
        content: `Workspace "${of('workspace')}" will stop ${of('timeTilShutdown')}.`,
        icon: workspaceIcon,
        actions: linkTo('View workspace', ['/@me/', labels['workspace']]),
      };
    case 'Workspace Deleted':
      return {
        title: `Your workspace ${named} was deleted`,
        content: sentences(`Workspace ${named} was deleted by ${of('initiator')}.`, because(of('reason'))),
        icon: workspaceIcon,
        // There is nothing left to look at.
        actions: [],
      };
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

/** Parts that there is nothing to say of are left out. */
const sentences = (...parts: readonly (string | undefined)[]): string =>
  parts.filter((part) => part !== undefined && part !== '').join(' ');

/** What was given for a reason may be a word, or sentences that end by themselves. */
const because = (reason: string): string => `Reason: ${reason}${/[.!?]$/.test(reason) && reason !== '?' ? '' : '.'}`;

const minuteMs = 60_000;
const units = [
  { name: 'day', ms: 24 * 60 * minuteMs },
  { name: 'hour', ms: 60 * minuteMs },
  { name: 'minute', ms: minuteMs },
] as const;

/**
 * How far away an instant is: `in 3 days`, `in 90 minutes`, `2 hours ago`, `now`. A unit is used from two of it on, so that it is
 * never wrong by more than a quarter.
 */
export function relativeTime(ms: number): string {
  const far = Math.abs(ms);
  const unit = units.find((each) => far >= 2 * each.ms) ?? units.at(-1)!;
  const count = Math.round(far / unit.ms);
  if (count === 0) return 'now';
  const text = `${count} ${unit.name}${count === 1 ? '' : 's'}`;
  return ms < 0 ? `${text} ago` : `in ${text}`;
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
