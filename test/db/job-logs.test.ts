import { eq } from 'drizzle-orm';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createJobLog } from '../../activities/job-log.ts';
import type { Db } from '../../db/client.ts';
import { insertJobNote, listJobLogs } from '../../db/queries/job-logs.ts';
import { findJob } from '../../db/queries/provisioner-jobs.ts';
import { provisionerJobs } from '../../db/schema/provisioner-jobs.ts';
import type { JobLogLine } from '../../domain/provisioned.ts';
import { createRedactor } from '../../terraform/secrets.ts';
import { type JsonValue, type TestApi, createTestApi } from '../support/api.ts';
import { templateWith } from '../support/build-rows.ts';
import { takeAs } from '../support/take.ts';

let api: TestApi;
let template: JsonValue;
let names = 0;
beforeAll(async () => {
  api = await createTestApi();
  template = await templateWith(api, []);
});
afterAll(() => api.close());

async function newJob(): Promise<string> {
  const { body } = await api.request('POST', '/api/v2/users/me/workspaces', {
    token: api.ownerToken,
    body: { name: `ws-${(names += 1)}`, template_id: template.id },
  });
  return body.latest_build.job.id;
}
const take = async (jobId: string) => (await takeAs(api.db, jobId))!;
async function newLog(options: { db?: Db; jobId?: string } = {}) {
  const jobId = options.jobId ?? (await newJob());
  const { attempt, logsLength, logsOverflowed } = await take(jobId);
  const redactor = createRedactor(['hunter22']);
  const fenced = { count: 0 };
  const log = createJobLog({
    db: options.db ?? api.db,
    jobId,
    attempt,
    length: logsLength,
    overflowed: logsOverflowed,
    redactor,
    onFenced: () => (fenced.count += 1),
  });
  return { jobId, log, fenced };
}
const line = (output: string): JobLogLine => ({
  source: 'provisioner',
  level: 'info',
  stage: 'Starting workspace',
  output,
  createdAt: new Date('2026-01-01T00:00:00.123Z'),
});
const outputs = async (jobId: string) => (await listJobLogs(api.db, { jobId })).map(({ output }) => output);
const totals = async (jobId: string) =>
  (
    await api.db
      .select({
        length: provisionerJobs.logsLength,
        overflowed: provisionerJobs.logsOverflowed,
        offset: provisionerJobs.logOffset,
      })
      .from(provisionerJobs)
      .where(eq(provisionerJobs.id, jobId))
  )[0]!;

describe('the log of a run', () => {
  test('splits long lines at characters, all of one instant', async () => {
    const { jobId, log } = await newLog();
    await log.add([line('x'.repeat(1_100)), line('🙂'.repeat(1_025))], { stream: 'stdout', end: 4_242 });
    await log.flush();
    const rows = await listJobLogs(api.db, { jobId });
    expect(rows.map(({ output }) => Array.from(output).length)).toEqual([1_024, 76, 1_024, 1]);
    expect(new Set(rows.map(({ createdAt }) => createdAt.toISOString()))).toEqual(
      new Set(['2026-01-01T00:00:00.123Z']),
    );
    expect(await totals(jobId)).toEqual({ length: 1_100 + 4 * 1_025, overflowed: false, offset: 4_242 });
  });

  test('keeps the order of the lines over all its batches', async () => {
    const { jobId, log } = await newLog();
    const expected = Array.from({ length: 1_000 }, (_, i) => `line ${i}`);
    for (const text of expected) await log.add([line(text)]);
    await log.flush();
    expect(await outputs(jobId)).toEqual(expected);
  });

  test('fills up to the last whole line that fits, says so once, and drops the rest without failing', async () => {
    const { jobId, log } = await newLog();
    const full = 'x'.repeat(1_024);
    for (let i = 0; i < 1_023; i += 1) await log.add([line(full)]);
    await log.add([line('y'.repeat(1_018))]);
    expect(1_023 * 1_024 + 1_018).toBe(1_048_570);
    await log.flush();
    expect(await totals(jobId)).toMatchObject({ length: 1_048_570, overflowed: false });
    await log.add([line('z'.repeat(10)), line('tiny')]);
    await log.add([line('later')]);
    await log.flush();
    await log.add([line('much later')]);
    log.stage('Cleaning Up');
    await log.flush();
    expect(await totals(jobId)).toMatchObject({ length: 1_048_570, overflowed: true });
    const rows = await listJobLogs(api.db, { jobId });
    expect(rows).toHaveLength(1_025);
    expect(rows.at(-1)).toMatchObject({
      source: 'provisioner_daemon',
      level: 'warn',
      output: expect.stringContaining('limit of 1 MiB'),
    });
    expect(rows.filter(({ level }) => level === 'warn')).toHaveLength(1);
  });

  test('of a later attempt goes on where the first one was', async () => {
    const { jobId, log } = await newLog();
    log.stage('Setting up');
    await log.add([line('one')]);
    await log.flush();
    const second = await newLog({ jobId });
    await second.log.add([line('two')]);
    await second.log.flush();
    await log.add([line('late')]);
    await log.flush();
    await log.add([line('later')]);
    await log.flush();
    expect(await outputs(jobId)).toEqual(['', 'one', 'two']);
    expect((await totals(jobId)).length).toBe(6);
  });

  test('tells once that its attempt was fenced', async () => {
    const first = await newLog();
    await newLog({ jobId: first.jobId });
    for (let i = 0; i < 3; i += 1) {
      await first.log.add([line('late')]);
      await first.log.flush();
    }
    expect(first.fenced.count).toBe(1);
    expect(await outputs(first.jobId)).toEqual([]);
  });

  test('loses and doubles nothing while the database is away', async () => {
    let away = false;
    const flaky = new Proxy(api.db, {
      get(target, property, receiver) {
        if (property === 'execute' && away)
          return () => Promise.reject(Object.assign(new Error('gone'), { code: 'CONNECTION_CLOSED' }));
        return Reflect.get(target, property, receiver) as unknown;
      },
    });
    const { jobId, log } = await newLog({ db: flaky });
    await log.add([line('before')]);
    await log.flush();
    away = true;
    await log.add([line('during 1')]);
    await expect(log.flush()).rejects.toThrow('gone');
    await log.add([line('during 2')]);
    await expect(log.flush()).rejects.toThrow('gone');
    away = false;
    await log.add([line('after')]);
    await log.flush();
    expect(await outputs(jobId)).toEqual(['before', 'during 1', 'during 2', 'after']);
  });

  test('masks what we say ourselves and stores any text', async () => {
    const { jobId, log } = await newLog();
    log.say('info', 'the password is hunter22');
    log.say('info', 'a\0b');
    log.say('info', `half a pair: \ud83d`);
    await log.flush();
    expect(await outputs(jobId)).toEqual(['the password is [redacted]', 'ab', 'half a pair: \ufffd']);
  });

  test('stores every text that Terraform may print', async () => {
    const { jobId, log } = await newLog();
    const texts = fc.sample(fc.string({ unit: 'binary', maxLength: 40 }), 300).filter((text) => text !== '');
    for (const text of texts) await log.add([line(text)]);
    await log.flush();
    expect(await outputs(jobId)).toEqual(texts.map((text) => text.replaceAll('\0', '').toWellFormed()));
  });
});

test('a note of a command counts, and the run goes on after it', async () => {
  const jobId = await newJob();
  await insertJobNote(api.db, { jobId, level: 'info', output: 'ünote' });
  const { log } = await newLog({ jobId });
  await log.add([line('run')]);
  await log.flush();
  expect(await outputs(jobId)).toEqual(['ünote', 'run']);
  expect((await totals(jobId)).length).toBe(9);
  expect((await findJob(api.db, jobId))!.status).toBe('running');
});
