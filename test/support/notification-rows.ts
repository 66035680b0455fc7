import { randomUUID } from 'node:crypto';
import { type Db, transaction } from '../../db/client.ts';
import { type NewNotification, enqueueNotification } from '../../db/queries/notification-messages.ts';
import { notificationTemplates } from '../../domain/notifications.ts';

/** A notification that memory is low, unless it says otherwise; each is another fact. */
export const newNotification = (notification: Partial<NewNotification> & { userId: string }): NewNotification => ({
  template: notificationTemplates.workspaceOutOfMemory,
  eventKey: randomUUID(),
  labels: { workspace: 'web', threshold: '80%' },
  data: {},
  targets: [],
  createdBy: 'test',
  now: new Date(),
  ...notification,
});

/** Told in a transaction of its own. Answers its id. */
export async function tell(db: Db, notification: Parameters<typeof newNotification>[0]): Promise<string> {
  const id = await transaction(db, (tx) => enqueueNotification(tx, newNotification(notification)));
  if (id === undefined) throw new Error('nobody was told');
  return id;
}
