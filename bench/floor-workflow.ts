import { proxyActivities } from '@temporalio/workflow';

const { nothing } = proxyActivities<{ nothing(): Promise<void> }>({ startToCloseTimeout: '1 minute' });

/** The least that a durable job costs: one remote activity that does nothing. */
export async function floor(): Promise<void> {
  await nothing();
}
