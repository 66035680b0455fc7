import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { waitFor } from '../support/wait.ts';
import { script, startAgent, stopScript } from './support/builders.ts';

const isAlive = (pid: number): boolean => {
  // A zombie that nobody reaps in this container is dead enough.
  const stat = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'utf8') : ') Z';
  return !/\) [ZX]/.test(stat);
};

const output = async (text: string, manifest = {}, options = {}) => {
  const one = script(text);
  const { server } = await startAgent({ ...manifest, scripts: [one] }, options);
  await server.waitForState('ready');
  await waitFor('its lines', async () => server.lines().some(({ output: line }) => line === 'end'));
  return server.lines().filter(({ source }) => source === one.log_source_id);
};

describe('start scripts', () => {
  test('run in parallel, and all of them before the agent is ready', async () => {
    // Each waits for the other: one after the other they would never end.
    const meet = (own: string, other: string) =>
      script(`touch $HOME/${own}; while [ ! -e $HOME/${other} ]; do sleep 0.02; done; echo met`);
    const { server } = await startAgent({ scripts: [meet('a', 'b'), meet('b', 'c'), meet('c', 'a')] });
    await server.waitForState('ready');
    expect(server.states()).toEqual(['starting', 'ready']);
    await waitFor('timings', async () => server.timings().length === 3);
    expect(server.timings()).toMatchObject(
      Array.from({ length: 3 }, () => ({ stage: 'start', status: 'ok', exit_code: 0 })),
    );
  });

  test('have the environment of commands, a data directory of their own and a shared bin', async () => {
    const lines = await output(
      'printf "%s\\n" "$CODER_WORKSPACE_NAME" "$FOO" "$TOKEN" "$PWD" "$(stat -c %a $CODER_SCRIPT_DATA_DIR $CODER_SCRIPT_BIN_DIR | tr "\\n" ,)"; case $PATH in "$CODER_SCRIPT_BIN_DIR":*) echo first;; esac; echo end',
      {
        directory: '~/work',
        environment_variables: { FOO: '$HOME/foo' },
        secrets: [{ env_name: 'TOKEN', file_path: '', value_base64: Buffer.from('s3cret').toString('base64') }],
      },
    );
    const home = lines[1]?.output.replace(/\/foo$/, '');
    // ~/work does not exist: home it is.
    expect(lines.map(({ output: line }) => line)).toEqual([
      'dev',
      `${home}/foo`,
      's3cret',
      home,
      '700,700,',
      'first',
      'end',
    ]);
  });

  test('write to their log file and to the server: stdout as info, stderr as error, a last line without end too', async () => {
    const one = script('printf "out\\r\\n"; printf "bad" >&2', { log_path: 'a/my.log' });
    const { server, logDir } = await startAgent({ scripts: [one] });
    await waitFor('both lines', async () => server.lines().length === 2);
    expect(server.lines()).toEqual(
      expect.arrayContaining([
        { source: one.log_source_id, level: 'info', output: 'out' },
        { source: one.log_source_id, level: 'error', output: 'bad' },
      ]),
    );
    const file = join(logDir, 'a/my.log');
    expect([readFileSync(file, 'utf8').length, (statSync(file).mode & 0o777).toString(8)]).toEqual([8, '600']);
  });

  test('with an interpreter of their own run by it', async () => {
    const lines = await output(`#!/usr/bin/env node\nconsole.log(typeof process.pid);\nconsole.log('end')`);
    expect(lines[0]?.output).toBe('number');
  });

  test('find the secrets that are files', async () => {
    const lines = await output('cat ~/.config/key; echo; echo end', {
      secrets: [
        { env_name: '', file_path: '~/.config/key', value_base64: Buffer.from('in a file').toString('base64') },
      ],
    });
    expect(lines[0]?.output).toBe('in a file');
  });

  test('that take too long are interrupted, then killed with all they started', async () => {
    const limit = { timeout: 200_000_000 };
    const polite = script('trap "echo bye; exit 0" INT; sleep 30 & wait', limit);
    const stubborn = script(`trap "" INT; sh -c 'echo $$ >$HOME/pid; exec sleep 30' & wait`, limit);
    const { server, home } = await startAgent({ scripts: [polite, stubborn] });
    await server.waitForState('start_timeout');
    await waitFor('timings', async () => server.timings().length === 2);
    expect(server.timings().map(({ status }) => status)).toEqual(['timed_out', 'timed_out']);
    expect(server.timings().find(({ script_id }) => script_id === stubborn.id)?.exit_code).toBe(255);
    const pid = Number(readFileSync(join(home, 'pid'), 'utf8'));
    await waitFor('the end of its child', async () => !isAlive(pid));
    await waitFor('the polite one', async () => server.lines().some(({ output: line }) => line === 'bye'));
  });

  test('that leave a process with their output behind are waited for a moment', async () => {
    const { server } = await startAgent({ scripts: [script('echo $$ >$HOME/pid; sleep 20 & exit 0')] });
    await server.waitForState('ready');
    await waitFor('timing', async () => server.timings().length === 1);
    expect(server.timings()[0]).toMatchObject({ status: 'pipes_left_open', exit_code: 0 });
    await waitFor('the warning', async () => server.lines().some(({ level }) => level === 'warn'));
  });

  test('one failure of three is start_error; the clock starts all the same', async () => {
    const cron = script('echo tick', { cron: '* * * * * *', run_on_start: false });
    const { server } = await startAgent({ scripts: [script('exit 3'), script('true'), script('true'), cron] });
    await server.waitForState('start_error');
    await waitFor('a tick', async () => server.timings().some(({ stage }) => stage === 'cron'));
    expect(server.timings().find(({ exit_code }) => exit_code !== 0)).toMatchObject({
      exit_code: 3,
      status: 'exit_failure',
    });
  });

  test('with an interpreter that does not exist fail with 127 and say so', async () => {
    const { server } = await startAgent({ scripts: [script('#!/no/such/shell\n')] });
    await server.waitForState('start_error');
    await waitFor('timing', async () => server.timings().length === 1);
    expect(server.timings()[0]).toMatchObject({ exit_code: 127 });
    await waitFor('the reason', async () => server.lines().some(({ output: line }) => line.includes('ENOENT')));
  });
});

describe('scripts by the clock', () => {
  test('begin after the start scripts and never overlap', async () => {
    const start = script('while [ ! -e $HOME/go ]; do sleep 0.02; done');
    const cron = script('echo run >>$HOME/runs; while [ ! -e $HOME/done ]; do sleep 0.02; done', {
      cron: '* * * * * *',
      run_on_start: false,
    });
    const { server, home } = await startAgent({ scripts: [start, cron] });
    await server.waitForState('starting');
    // Two whole seconds of the clock pass.
    const began = Date.now();
    await waitFor('time', async () => Date.now() - began > 2100);
    expect(existsSync(join(home, 'runs'))).toBe(false);
    writeFileSync(join(home, 'go'), '');
    await waitFor('a run', async () => existsSync(join(home, 'runs')));
    const ran = Date.now();
    await waitFor('time', async () => Date.now() - ran > 2100);
    expect(readFileSync(join(home, 'runs'), 'utf8')).toBe('run\n');
    writeFileSync(join(home, 'done'), '');
    await waitFor('the next run', async () => readFileSync(join(home, 'runs'), 'utf8').length > 4);
  });
  test('with a bad expression are told and leave the others alone', async () => {
    const { server, diagnostics } = await startAgent({
      scripts: [script('', { cron: 'every day', run_on_start: false, display_name: 'bad' }), stopScript('true')],
    });
    await server.waitForState('ready');
    await waitFor('the warning', async () => diagnostics.some((line) => line.includes('bad: bad cron')));
  });
});
