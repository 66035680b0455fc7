import { describe, expect, test } from 'vitest';
import { agentHealth, agentStatus, startupScriptBehavior } from '../../domain/agents.ts';

const now = new Date('2026-01-01T12:00:00Z');
const ago = (seconds: number) => new Date(now.getTime() - seconds * 1000);
const agent = {
  createdAt: ago(600),
  firstConnectedAt: null,
  lastConnectedAt: null,
  disconnectedAt: null,
  connectionTimeoutSeconds: 0,
};
const connected = (lastSeconds: number) => ({
  ...agent,
  firstConnectedAt: ago(500),
  lastConnectedAt: ago(lastSeconds),
});

describe('the status of an agent', () => {
  test.each([
    ['that never connected waits for ever without a limit', agent, 'connecting'],
    ['within its limit', { ...agent, connectionTimeoutSeconds: 600 }, 'connecting'],
    ['past its limit', { ...agent, connectionTimeoutSeconds: 599 }, 'timeout'],
    ['that was late but came', { ...connected(1), connectionTimeoutSeconds: 10 }, 'connected'],
    ['that gave a sign of life just in time', connected(30), 'connected'],
    ['that has been silent for too long', connected(31), 'disconnected'],
    ['that left', { ...connected(5), disconnectedAt: ago(4) }, 'disconnected'],
    ['that came back', { ...connected(5), disconnectedAt: ago(6) }, 'connected'],
  ] as const)('%s', (_, given, expected) => {
    expect(agentStatus(given, now)).toBe(expected);
  });

  test('takes the inactivity limit as given', () => {
    expect(agentStatus(connected(3), now, 2_000)).toBe('disconnected');
  });
});

describe('the health of an agent', () => {
  test.each([
    ['connected', 'ready', undefined],
    ['connected', 'starting', undefined],
    ['connected', 'start_timeout', undefined],
    ['connected', 'start_error', 'agent startup script exited with an error'],
    ['connected', 'shutting_down', 'agent is shutting down'],
    ['connected', 'shutdown_timeout', 'agent is shutting down'],
    ['connected', 'shutdown_error', 'agent is shutting down'],
    ['connected', 'off', 'agent is shutting down'],
    ['disconnected', 'off', 'agent is not running'],
    ['disconnected', 'ready', 'agent has lost connection'],
    ['connecting', 'created', 'agent has not yet connected'],
    ['timeout', 'created', 'agent is taking too long to connect'],
  ] as const)('%s and %s: %s', (status, lifecycle, reason) => {
    expect(agentHealth(status, lifecycle)).toEqual(
      reason === undefined ? { healthy: true } : { healthy: false, reason },
    );
  });
});

test('log-in waits for a script that blocks it and runs at the start', () => {
  const script = (runOnStart: boolean, startBlocksLogin: boolean) => ({ runOnStart, startBlocksLogin });
  expect(startupScriptBehavior([])).toBe('non-blocking');
  expect(startupScriptBehavior([script(true, false), script(false, true)])).toBe('non-blocking');
  expect(startupScriptBehavior([script(true, false), script(true, true)])).toBe('blocking');
});
