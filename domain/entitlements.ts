/** Nothing is licensed: every feature that clients ask about is entitled and on. Source: spec/07 "Scope". */
const features = [
  'access_control',
  'advanced_template_scheduling',
  'appearance',
  'audit_log',
  'browser_only',
  'connection_log',
  'control_shared_ports',
  'custom_roles',
  'external_provisioner_daemons',
  'external_token_encryption',
  'high_availability',
  'managed_agent_limit',
  'multiple_external_auth',
  'multiple_organizations',
  'scim',
  'task_batch_actions',
  'template_rbac',
  'user_limit',
  'user_role_management',
  'workspace_batch_actions',
  'workspace_external_agent',
  'workspace_prebuilds',
  'workspace_proxy',
] as const;

export const entitlements = (refreshedAt: Date) => ({
  features: Object.fromEntries(features.map((name) => [name, { entitlement: 'entitled' as const, enabled: true }])),
  warnings: [] as string[],
  errors: [] as string[],
  has_license: false,
  trial: false,
  require_telemetry: false,
  refreshed_at: refreshedAt.toISOString(),
});

/** Experiments that `*` switches on; the API and the workers read the same list. */
export const safeExperiments: readonly string[] = [];

/** The stream of all builds' status changes (spec/06 §8.2). */
export const workspaceBuildUpdates = 'workspace-build-updates';
/** Those that only their own name switches on. */
const otherExperiments: readonly string[] = [workspaceBuildUpdates];
export const isExperiment = (name: string): boolean =>
  safeExperiments.includes(name) || otherExperiments.includes(name);

/** Names that exist, from the setting (comma list, `*` = all safe ones); unknown ones are ignored. */
export const enabledExperiments = (setting: readonly string[]): string[] => [
  ...safeExperiments.filter((name) => setting.includes('*') || setting.includes(name)),
  ...otherExperiments.filter((name) => setting.includes(name)),
];
