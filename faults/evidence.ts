import { type Context, read } from './context.ts';
import type { Effect } from './ledger.ts';
import type { Run } from './run.ts';

const logLines = 12;
const processLogLines = 4;
/** Lines of Terraform that say nothing which the ledger does not say better. */
const chatter = /\(local-exec\)|Refresh|Plan to|Provisioning with/;

/** The Temporal SDK warns of what it does not poll at each start. */
const isComplaint = (line: string): boolean =>
  /"level":"(warn|error|fatal)"/.test(line) && !line.includes('not polling');

type Section = readonly [title: string, lines: readonly string[]];

const timeOf = (instant: number | string): string => new Date(instant).toISOString().slice(11, 23);

/** Everything that one needs to repeat and to understand a failed run; without `details` only what was found, and where. */
export async function describeFailure(context: Context, run: Run, details: boolean): Promise<string> {
  const { scenario, seed, size, workspaceId } = run;
  const sections: Section[] = [
    ['found', run.findings.map(({ kind, what }) => `${kind}: ${what}`)],
    ['workspace', [`${run.name} ${workspaceId}`, `in the phase "${run.phase}" at the fault`, ...run.notes]],
  ];
  if (details) sections.push(...(await gatherDetails(context, run)));
  return [
    `  ✖ repeat with: npm run faults -- ${scenario} --seed ${seed} --runs ${size}`,
    ...sections.flatMap(([title, lines]) => [
      `    ${title}:`,
      ...lines.map((line) => `      ${line.trim().slice(0, 300)}`),
    ]),
  ].join('\n');
}

async function gatherDetails(context: Context, run: Run): Promise<Section[]> {
  const effects = context.stack.ledger.effectsOf(run.workspaceId);
  const sections: Section[] = [['ledger', effects.map((effect) => ledgerLine(run, effect))]];
  for (const { id, jobId, transition } of run.builds)
    sections.push([`${transition}, build ${id}, job ${jobId}, its log at the end`, await logTail(context, id)]);
  for (const worker of [...context.fleet.controls, ...context.hosts.flatMap(({ workers }) => workers)]) {
    const complaints = worker.logTail(200).split('\n').filter(isComplaint);
    sections.push([`last complaints of ${worker.name}`, complaints.slice(-processLogLines)]);
  }
  return sections;
}

function ledgerLine(run: Run, { verb, address, objectId, atMs, terraformPid, buildId }: Effect): string {
  const build = run.builds.findIndex(({ id }) => id === buildId) + 1;
  return `${timeOf(atMs)} ${verb} ${address} ${objectId.slice(-6)} by terraform ${terraformPid} of build ${build}`;
}

interface LogRow {
  readonly created_at: string;
  readonly log_level: string;
  readonly stage: string;
  readonly output: string;
}

async function logTail(context: Context, buildId: string): Promise<string[]> {
  const { status, body } = await read<LogRow[]>(context, `/workspacebuilds/${buildId}/logs`);
  if (status !== 200) return [`not to be had: ${status}`];
  return body
    .filter(({ output }) => !chatter.test(output))
    .slice(-logLines)
    .map(({ created_at: at, log_level: level, stage, output }) => `${timeOf(at)} ${level} [${stage}] ${output}`);
}
