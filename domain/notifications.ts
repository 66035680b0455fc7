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
