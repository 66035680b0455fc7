import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/**
 * `npm test`: every project, tools included. Arguments go to vitest; `--fast` leaves out what takes minutes,
 * `--summary-file=<path>` gets `<passed> <failed> <skipped>` for CI.
 */
interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly {
    readonly status: string;
    readonly assertionResults: readonly { status: string }[];
  }[];
}

/** Named one by one: two exclusions would each let the other in. */
const fastProjects = ['domain', 'db', 'api', 'toolchain', 'terraform', 'workflows', 'replay', 'cli'];

const given = process.argv.slice(2);
const fast = given.includes('--fast');
const summaryFile = given.find((arg) => arg.startsWith('--summary-file='))?.slice('--summary-file='.length);
const forwarded = given.filter((arg) => arg !== '--fast' && !arg.startsWith('--summary-file='));

const folder = mkdtempSync(join(tmpdir(), 'berth-report-'));
const reportFile = join(folder, 'report.json');
const vitest = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs');
const args = [
  vitest,
  'run',
  '--reporter=default',
  '--reporter=json',
  `--outputFile.json=${reportFile}`,
  ...(fast ? fastProjects.map((name) => `--project=${name}`) : []),
  ...forwarded,
];
const ignore = (): void => undefined;
// Ctrl-C goes to vitest as well, which ends in order; this process waits for it.
process.on('SIGINT', ignore);
const { status, signal } = spawnSync(process.execPath, args, { stdio: 'inherit' });

function count(): { passed: number; failed: number; skipped: number } {
  try {
    const report = JSON.parse(readFileSync(reportFile, 'utf8')) as Report;
    // A file that could not even be loaded has no failed test of its own.
    const brokenFiles = report.testResults.filter(
      (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
    ).length;
    return {
      passed: report.numPassedTests,
      failed: report.numFailedTests + brokenFiles,
      skipped: report.numPendingTests + report.numTodoTests,
    };
  } catch {
    return { passed: 0, failed: 0, skipped: 0 };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const counted = count();
const succeeded = status === 0 && counted.passed > 0;
// Vitest also fails for an unhandled rejection or a broken set-up, which belong to no test.
const failed = !succeeded && counted.failed === 0 ? 1 : counted.failed;
if (signal !== null) console.log(`vitest was ended by ${signal}`);
if (summaryFile !== undefined) writeFileSync(summaryFile, `${counted.passed} ${failed} ${counted.skipped}\n`);
else console.log(`${counted.passed} passed, ${failed} failed, ${counted.skipped} skipped`);
process.exitCode = failed > 0 ? 1 : 0;
