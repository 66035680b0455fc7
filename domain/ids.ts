/** Workflow ids (design §1). One job = one workflow id, so a second start meets the first. */
export const buildWorkflowId = (buildId: string): string => `build/${buildId}`;
export const importWorkflowId = (templateVersionId: string): string => `import/${templateVersionId}`;
export const dryRunWorkflowId = (jobId: string): string => `dryrun/${jobId}`;

/** Owner of all unclaimed prebuilds; seeded by migration (spec/01 §1.2). */
export const PREBUILDS_SYSTEM_USER_ID = 'c42fdf75-3097-471c-8c33-fb52454d81c0';

/** `created_by` of files that the system writes, e.g. module archives (spec/01 §2.4). */
export const NIL_UUID = '00000000-0000-0000-0000-000000000000';

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
export const isUuid = (text: string): boolean => uuidPattern.test(text);

/** Task queue of all workflows and of the control worker's activities. */
export const CONTROL_TASK_QUEUE = 'control';
/** Queue that only the workers of one host poll (design §2). */
export const hostTaskQueue = (hostId: string): string => `host/${hostId}`;
