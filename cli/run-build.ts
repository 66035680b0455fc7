import type { CliContext } from './context.ts';
import { untilInterrupted } from './context.ts';
import type { Client } from './client.ts';
import { CliError, exitCodes } from './errors.ts';
import { followJob, isOver } from './follow-job.ts';
import { orphanAdvice, orphansText } from './orphans.ts';
import type { WorkspaceBuild } from './types.ts';
import { buildLogPath, getBuild } from './workspaces.ts';

/**
 * Shows a build until its end. Throws CliError when it failed or was canceled (exit 1) and when Ctrl-C ended the watching
 * (exit 130): the build itself goes on then.
 */
export async function followBuild(
  context: CliContext,
  client: Client,
  { build, after }: { build: WorkspaceBuild; after?: number },
): Promise<WorkspaceBuild> {
  const name = build.workspace_name;
  const title = `${verbOf(build)} ${name} (build ${build.build_number})`;
  const last = await untilInterrupted(context, (signal) =>
    followJob(client, context.output, {
      title,
      path: buildLogPath(build.id),
      read: () => getBuild(client, build.id),
      signal,
      ...(after !== undefined && { after }),
    }),
  );
  if (!isOver(last.job))
    throw new CliError(`Stopped following; the ${title} goes on`, {
      exitCode: exitCodes.interrupted,
      next: `berth logs -f ${name} follows it again, berth cancel ${name} ends it`,
      document: last,
    });
  requireSuccess(last);
  if (last.possible_orphans.length > 0) context.output.say(orphansText(last, context.output.colors));
  return last;
}

/** What a build does, in a word. */
export const verbOf = (build: WorkspaceBuild): string => (build.refresh_only === true ? 'refresh' : build.transition);

/** Throws CliError with the job's own reason when a build ended in another way than asked for. */
export function requireSuccess(build: WorkspaceBuild): void {
  const { status, error, error_code: code } = build.job;
  if (status === 'succeeded') return;
  const name = build.workspace_name;
  const title = `${verbOf(build)} of ${name} (build ${build.build_number})`;
  const orphans = build.possible_orphans.map((address) => ({
    field: address,
    detail: 'may exist outside of the state',
  }));
  const advice = orphans.length === 0 ? '' : `; ${orphanAdvice(name)}`;
  const budget =
    code === 'INSUFFICIENT_QUOTA' ? `berth quota show ${build.workspace_owner_name} shows the budget; ` : '';
  throw new CliError(status === 'canceled' ? `The ${title} was canceled` : `The ${title} failed`, {
    next: `${budget}berth logs ${name} --build ${build.build_number} shows it again; berth retry ${name} tries again${advice}`,
    validations: orphans,
    document: build,
    ...(error !== undefined && status === 'failed' && { detail: error }),
  });
}

/** Where a build stands that nobody waits for. */
export function pendingText(build: WorkspaceBuild): string {
  const name = build.workspace_name;
  const waiting =
    build.matched_provisioners?.count === 0 ? '\nNo provisioner worker serves its tags: it waits until one comes.' : '';
  return `The ${verbOf(build)} of ${name} is ${build.job.status} (build ${build.build_number}); berth logs -f ${name} follows it.${waiting}`;
}
