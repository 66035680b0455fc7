import { once } from 'node:events';
import { createWriteStream, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { createJobLog } from '../activities/job-log.ts';
import { connect } from '../db/client.ts';
import { takeJob } from '../db/queries/job-attempts.ts';
import { defaultLease } from '../domain/lease.ts';
import { withThrowawayStack } from '../scripts/stack/throwaway.ts';
import { createOutputReader } from '../terraform/output.ts';
import { createRedactor } from '../terraform/secrets.ts';
import { tailLines } from '../terraform/tail.ts';
import { importBenchTemplate } from './builds.ts';
import { report, timed } from './report.ts';
import { apiOf } from './stack.ts';

const secrets = ['a-session-token', 'an-agent-token', 'a-private-key'];

/**
 * One million lines of one build, from the file that Terraform writes into rows, against `COPY` of the same rows. Lines of one
 * character: longer ones would meet the limit of 1 MiB of a job's log. Everything of a real run takes part: tail, reader,
 * masking, splitting, the fenced batches.
 */
export async function benchLogs({ runs: lines = 1_000_000 }: { runs: number | undefined }): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'berth-logs-'));
  const file = join(directory, 'stdout.log');
  await writeLines(file, lines);
  await withThrowawayStack(async (stack, postgresUrl) => {
    await importBenchTemplate(apiOf(stack));
    const { db, close } = connect(postgresUrl, { max: 4, applicationName: 'berth-bench' });
    const sql = postgres(postgresUrl, { max: 1 });
    try {
      const job = await insertJob(sql);
      const taken = await takeJob(db, {
        jobId: job,
        hostId: 'bench',
        workerId: job,
        leaseMs: 3_600_000,
        takeOverAfterMs: defaultLease.takeOverAfterMs,
      });
      const redactor = createRedactor(secrets);
      const attempt = taken!.attempt;
      const log = createJobLog({
        db,
        jobId: job,
        attempt,
        length: 0,
        overflowed: false,
        redactor,
        onFenced: () => undefined,
      });
      const reader = createOutputReader({ stage: 'apply', redact: redactor.redact });
      let rss = 0;
      const memory = setInterval(() => (rss = Math.max(rss, process.memoryUsage.rss())), 50);
      const before = process.memoryUsage.rss();
      const ours = await timed(async () => {
        for await (const { line, endOffset } of tailLines(file, { until: Promise.resolve() }))
          await log.add(reader.push(line).lines, { stream: 'stdout', end: endOffset });
        await log.flush();
      });
      clearInterval(memory);
      const [stored] = await sql<{ count: number }[]>`
        select count(*)::int as count from provisioner_job_logs where job_id = ${job}`;
      if (stored!.count !== lines) throw new Error(`${stored!.count} of ${lines} lines were stored`);
      const other = await insertJob(sql);
      const copied = await timed(() => copyLines(sql, other, lines));
      const perSecond = (ms: number): number => lines / (ms / 1_000);
      const [mine, baseline] = [perSecond(ours), perSecond(copied)];
      report({ bench: 'logs', metric: 'lines_per_second', ours: mine, baseline, n: lines, unit: '1/s' });
      const MiB = 1024 * 1024;
      report({ bench: 'logs', metric: 'rss_peak', ours: rss / MiB, baseline: before / MiB, n: lines, unit: 'MiB' });
    } finally {
      await sql.end();
      await close();
    }
  });
  rmSync(directory, { recursive: true, force: true });
}

async function writeLines(path: string, lines: number): Promise<void> {
  const stream = createWriteStream(path);
  for (let left = lines; left > 0; left -= 10_000)
    if (!stream.write('x\n'.repeat(Math.min(left, 10_000)))) await once(stream, 'drain');
  stream.end();
  await once(stream, 'finish');
}

/** A job like the template's import, so that every column is that of a real one. */
async function insertJob(sql: postgres.Sql): Promise<string> {
  const [row] = await sql<{ id: string }[]>`
    insert into provisioner_jobs (organization_id, initiator_id, provisioner, type, input, file_id, workflow_id, priority)
    select organization_id, initiator_id, provisioner, type, input, file_id, 'bench', priority from provisioner_jobs limit 1
    returning id`;
  return row!.id;
}

async function copyLines(sql: postgres.Sql, job: string, lines: number): Promise<void> {
  const stream =
    await sql`copy provisioner_job_logs (job_id, created_at, source, level, stage, output) from stdin`.writable();
  const row = `${job}\t2026-01-01 00:00:00.123+00\tprovisioner\tinfo\tStarting workspace\tx\n`;
  for (let left = lines; left > 0; left -= 1_000)
    if (!stream.write(row.repeat(Math.min(left, 1_000)))) await once(stream, 'drain');
  stream.end();
  await once(stream, 'finish');
}
