import { duration, table } from '../../cli/format.ts';
import type { Colors } from '../../cli/output.ts';
import type { DemoReport } from './main-job.ts';

const between = (from: string | undefined, to: string | undefined): string =>
  from === undefined || to === undefined ? '' : duration(Date.parse(to) - Date.parse(from));

/** Durations of each job beside the page of its workflow. */
export function reportText({ steps, totalMs }: DemoReport, colors: Colors): string {
  const rows = steps.map(({ title, job, wallMs, link }) => [
    title,
    between(job.created_at, job.started_at),
    between(job.started_at, job.completed_at),
    duration(wallMs),
    link ?? '',
  ]);
  return [
    table(['STEP', 'WAITED', 'RAN', 'SEEN', 'TEMPORAL WEB UI'], rows, colors),
    '',
    `${colors.green('✔')} The main job took ${duration(totalMs)}.`,
  ].join('\n');
}
