import { createApiClient } from './api-client.ts';
import { type Foundation, type Stage, everythingReady } from './context.ts';
import type { Scenario } from './scenario.ts';
import type { Stack } from './stack/stack.ts';

export interface OpenStage extends Stage {
  /** Whether the scenario needs just these processes. */
  fits(scenario: Scenario): boolean;
  close(): Promise<void>;
}

/** Starts the processes of a scenario and waits until all of them serve. */
export async function openStage(stack: Stack, scenario: Scenario): Promise<OpenStage> {
  const fleet = await stack.startFleet(scenario.fleet);
  try {
    let turn = 0;
    // In turn, so that every replica has its share; one that is away costs a repeat.
    const url = () => fleet.apis[(turn += 1) % fleet.apis.length]!.url;
    const foundation: Foundation = { stack, fleet, hosts: [] };
    await scenario.begin(foundation);
    await everythingReady(foundation);
    const token = await stack.signIn(url);
    const api = createApiClient(url, token);
    return {
      ...foundation,
      api,
      token,
      templateId: await stack.templateId(api),
      fits: (other) => other.fleet === scenario.fleet && other.begin === scenario.begin,
      close: () => fleet.stop(),
    };
  } catch (err) {
    await fleet.stop();
    throw err;
  }
}
