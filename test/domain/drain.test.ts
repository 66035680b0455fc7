import { describe, expect, test } from 'vitest';
import { drainState, drainText } from '../../domain/drain.ts';

const now = new Date('2026-03-01T12:00:00Z');
const ago = (ms: number) => new Date(now.getTime() - ms);
const agent = {
  createdAt: ago(3_600_000),
  connectionTimeoutSeconds: 120,
  firstConnectedAt: ago(3_600_000),
  lastConnectedAt: ago(1_000),
  disconnectedAt: null,
  lifecycleState: 'shutting_down',
  requestedAt: ago(10_000),
};

describe('stop scripts before a stop', () => {
  test.each([
    ['run', {}, 'running'],
    ['are through', { lifecycleState: 'off' }, 'done'],
    ['failed', { lifecycleState: 'shutdown_error' }, 'failed'],
    ['ran into their own limit', { lifecycleState: 'shutdown_timeout' }, 'timed-out'],
    ['are through although the agent left', { lifecycleState: 'off', disconnectedAt: ago(0) }, 'done'],
    ['are not waited for when the agent left', { disconnectedAt: ago(0) }, 'disconnected'],
    ['are not waited for when the agent fell silent', { lastConnectedAt: ago(30_001) }, 'disconnected'],
    ['are waited for as long as it was said', { requestedAt: ago(59_999) }, 'running'],
    ['are not waited for any longer', { requestedAt: ago(60_000) }, 'too-late'],
    ['that have not begun are waited for', { lifecycleState: 'ready' }, 'running'],
  ])('%s', (_name, change, expected) => {
    expect(drainState({ ...agent, ...change }, now, 60_000)).toBe(expected);
  });

  test('are told of in one line', () => {
    expect(drainText('main', 'done')).toBe('The stop scripts of agent main have run.');
    expect(drainText('main', 'too-late')).toContain('goes on without them');
  });
});
