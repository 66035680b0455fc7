import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execFileSync } from 'node:child_process';
import pico from 'picocolors';
import { stripVTControlCharacters } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { loadCliConfig } from '../../config.ts';
import { duration, facts, table } from '../../cli/format.ts';
import { createLogPrinter } from '../../cli/log-printer.ts';
import { createOutput } from '../../cli/output.ts';
import { collectPairs, parseDuration, parseSchedule } from '../../cli/parse-values.ts';
import { machineZone, scheduleText, whenText } from '../../cli/times.ts';
import { readSession, resolveSession, sessionPath, writeSession } from '../../cli/session-file.ts';
import type { JobLog } from '../../cli/types.ts';
import { createCli } from './support/run.ts';

const plain = pico.createColors(false);

test('columns line up, whatever their colours', () => {
  const colors = pico.createColors(true);
  const text = table(
    ['A', 'STATUS', 'LAST'],
    [
      ['x', colors.green('ok'), '1'],
      ['longer', 'failed', '2'],
    ],
    colors,
  );
  const bare = stripVTControlCharacters(text);
  expect(bare.split('\n')).toEqual(['A       STATUS  LAST', 'x       ok      1', 'longer  failed  2']);
});

test('facts without a value are left out', () => {
  expect(
    facts(
      [
        ['name', 'x'],
        ['none', undefined],
        ['empty', ''],
        ['long one', 'y'],
      ],
      plain,
    ),
  ).toBe('name      x\nlong one  y');
});

test.each([
  [0, '0 ms'],
  [-5, '0 ms'],
  [850, '850 ms'],
  [2_400, '2.4 s'],
  [192_000, '3 m 12 s'],
  [8 * 3_600_000, '8 h 0 m'],
  [72 * 3_600_000, '3 d 0 h'],
])('%i ms reads %s', (ms, text) => {
  expect(duration(ms)).toBe(text);
});

test.each([
  ['8h', 28_800_000],
  ['1h30m', 5_400_000],
  ['2d', 172_800_000],
  ['0', 0],
])('%s is %i ms', (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});

test.each(['90', 'soon', '8 h', ''])('"%s" is no duration', (text) => {
  expect(() => parseDuration(text)).toThrow('is not a duration');
});

test.each([
  ['09:30', `CRON_TZ=${machineZone()} 30 9 * * *`],
  ['9:05 Mon-Fri', `CRON_TZ=${machineZone()} 5 9 * * Mon-Fri`],
  ['22:00 1-5 America/New_York', 'CRON_TZ=America/New_York 0 22 * * 1-5'],
  ['9:30AM Mon-Fri Europe/Berlin', 'CRON_TZ=Europe/Berlin 30 9 * * Mon-Fri'],
  ['9pm UTC', 'CRON_TZ=UTC 0 21 * * *'],
  ['12:15am UTC sat,sun', 'CRON_TZ=UTC 15 0 * * sat,sun'],
  ['12:15PM * UTC', 'CRON_TZ=UTC 15 12 * * *'],
  ['CRON_TZ=Europe/Berlin 30 9 * * 1-5', 'CRON_TZ=Europe/Berlin 30 9 * * 1-5'],
  ['30 9 * * 1-5', '30 9 * * 1-5'],
])('the schedule %s is sent as %s', (text, schedule) => {
  expect(parseSchedule(text)).toBe(schedule);
});

test.each(['whenever', '9', '24:00', '13pm', '0am', '9:60', '9:30 Mon Tue', '9:30 Mon UTC Europe/Berlin', ''])(
  '"%s" is no schedule',
  (text) => {
    expect(() => parseSchedule(text)).toThrow('is not a schedule');
  },
);

test.each([
  ['CRON_TZ=Europe/Berlin 30 9 * * 1-5', '9:30AM Mon-Fri (Europe/Berlin)'],
  ['CRON_TZ=UTC 0 0 * * *', '12:00AM daily (UTC)'],
  ['CRON_TZ=UTC 5 13 * * SAT,0', '1:05PM SAT,Sun (UTC)'],
  ['CRON_TZ=UTC */30 9 * * */2', 'cron(*/30 9) */2 (UTC)'],
  ['nonsense', 'nonsense'],
])('the stored schedule %s reads %s', (stored, text) => {
  expect(scheduleText(stored)).toBe(text);
});

test('instants are shown by the clock of a zone, with how far away they are', () => {
  const now = new Date('2026-05-15T22:30:00Z');
  expect(whenText('2026-05-18T07:00:00Z', now, 'Europe/Berlin')).toBe('Mon 18 May 09:00 (in 2 days)');
  expect(whenText('2026-05-15T22:00:00Z', now, 'Asia/Tokyo')).toBe('Sat 16 May 07:00 (30 minutes ago)');
  expect(whenText('2027-01-01T00:00:00Z', now, 'UTC')).toBe('Fri 1 Jan 2027 00:00 (in 230 days)');
});

test('values may hold equal signs, names may not come twice', () => {
  expect(collectPairs('a=b=c')).toEqual([{ name: 'a', value: 'b=c' }]);
  expect(collectPairs('b=', [{ name: 'a', value: '1' }])).toEqual([
    { name: 'a', value: '1' },
    { name: 'b', value: '' },
  ]);
  expect(() => collectPairs('a')).toThrow('not name=value');
  expect(() => collectPairs('=a')).toThrow('not name=value');
  expect(() => collectPairs('a=2', [{ name: 'a', value: '1' }])).toThrow('given twice');
});

test('a log is shown by stage, each with its duration', () => {
  const lines: string[] = [];
  const printer = createLogPrinter((line) => lines.push(line), plain);
  const row = (ms: number, stage: string, output: string): JobLog => ({
    id: ms,
    created_at: new Date(ms).toISOString(),
    log_source: 'provisioner',
    log_level: 'info',
    stage,
    output,
  });
  for (const log of [row(0, 'Init', ''), row(100, 'Init', 'one'), row(1_500, 'Apply', 'two'), row(1_600, 'Apply', '')])
    printer.print(log);
  printer.close(new Date(3_500).toISOString());
  printer.close();
  expect(lines).toEqual(['==> Init', '    one', '    done in 1.5 s', '==> Apply', '    two', '    done in 2.0 s']);
  expect(printer.stages).toEqual([
    { stage: 'Init', ms: 1_500 },
    { stage: 'Apply', ms: 2_000 },
  ]);
});

test('colours and spinners only reach a terminal, and NO_COLOR takes the colours away', async () => {
  const written = async (isTTY: boolean, noColor: boolean): Promise<string> => {
    let text = '';
    const stream = { isTTY, write: (chunk: string) => (text += chunk) };
    const output = createOutput({ stdout: stream, stderr: stream, json: false, noColor, ci: false });
    await output.progress.step('work', async () => output.progress.note(output.colors.red('line')));
    return text;
  };
  expect(await written(false, false)).toBe('  line\n✔ work\n');
  const colored = await written(true, false);
  expect(colored).toContain('\u001B[31mline');
  expect(colored).toContain('⠙ work');
  expect(await written(true, true)).not.toContain('\u001B[31m');
});

test('the session of the project around the working directory wins over the user’s own', () => {
  const root = mkdtempSync(join(tmpdir(), 'berth-session-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const config = loadCliConfig({ HOME: join(root, 'home') });
  const inner = join(root, 'project', 'deep', 'inside');
  mkdirSync(inner, { recursive: true });
  expect(sessionPath(config, inner)).toBe(join(root, 'home', '.config', 'berth', 'cli.json'));
  writeSession(join(root, 'project', '.berth', 'cli.json'), { url: 'http://a', token: 't' });
  expect(sessionPath(config, inner)).toBe(join(root, 'project', '.berth', 'cli.json'));
  expect(statSync(sessionPath(config, inner)).mode & 0o777).toBe(0o600);
  expect(sessionPath(loadCliConfig({ BERTH_CONFIG_DIR: 'own' }), inner)).toBe(join(inner, 'own', 'cli.json'));
});

test('a session file with other contents is an error that says so', () => {
  const root = mkdtempSync(join(tmpdir(), 'berth-session-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const path = join(root, 'cli.json');
  expect(readSession(path)).toBeUndefined();
  for (const text of ['', '[]', '{"url": 1}', '{"url": "x"']) {
    writeFileSync(path, text);
    expect(() => readSession(path)).toThrow('is not a session file');
  }
});

test('the environment wins over the file, and a token never goes to another address', () => {
  const stored = { url: 'http://a:1/', token: 'stored' };
  const none = { url: undefined, token: undefined };
  expect(resolveSession(stored, none)).toEqual(stored);
  expect(resolveSession(stored, { ...none, url: 'http://A:1' }).token).toBe('stored');
  expect(resolveSession(stored, { ...none, url: 'http://b' })).toEqual({ url: 'http://b', token: undefined });
  expect(resolveSession(stored, { ...none, token: 'given' })).toEqual({ url: 'http://a:1/', token: 'given' });
  expect(resolveSession(undefined, none)).toEqual(none);
});

test('completion knows commands, their commands and their options, and bash takes it', async () => {
  const { stdout, code } = await createCli()('completion', 'bash');
  expect(code).toBe(0);
  const complete = (...words: string[]): string[] => {
    const script = `${stdout}\nCOMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _berth; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return execFileSync('bash', ['-c', script], { encoding: 'utf8' }).trim().split('\n');
  };
  expect(complete('berth', 'st')).toEqual(['start', 'stop', 'state']);
  expect(complete('berth', 'state', 're')).toEqual(['restore']);
  expect(complete('berth', 'state', 'pull', 'dev', '--ver')).toEqual(['--version']);
  expect(complete('berth', 'templates', 'pu')).toEqual(['push']);
  expect(complete('berth', 'templates', 'push', '.', '--act')).toEqual(['--activate']);
  expect(await createCli()('completion', 'tcsh')).toMatchObject({ code: 2 });
});
