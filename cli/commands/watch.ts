import type { Command } from 'commander';
import type { Client } from '../client.ts';
import { untilInterrupted } from '../context.ts';
import type { CliContext } from '../context.ts';
import { isStatus, withNext } from '../errors.ts';
import { followBuildUpdates } from '../follow-builds.ts';
import { followEvents } from '../follow-events.ts';
import { statusText } from '../format.ts';
import { parseWhole } from '../parse-values.ts';
import type { BuildUpdate, Workspace } from '../types.ts';
import { workspaceChanges } from '../workspace-changes.ts';
import { getWorkspace } from '../workspaces.ts';

export function registerWatch(program: Command, context: () => CliContext): void {
  program
    .command('watch [workspace]')
    .description(
      'what happens to a workspace, or to all builds, as it happens; Ctrl-C ends it (--json: a document a line)',
    )
    .option('--after <sequence>', 'all builds: also what changed behind this update_sequence', parseWhole)
    .action(async (reference: string | undefined, { after }: { after?: number }) => {
      const cli = context();
      const client = cli.client();
      await (reference === undefined ? watchBuilds(cli, client, after) : watchWorkspace(cli, client, reference));
    });
}

const timed = ({ output, now }: CliContext, text: string): string =>
  `${output.colors.dim(now().toISOString().slice(11, 19))} ${text}`;
const jsonLine = (value: unknown): Buffer => Buffer.from(`${JSON.stringify(value)}\n`);

/** Until it is deleted. */
async function watchWorkspace(cli: CliContext, client: Client, reference: string): Promise<void> {
  const { output } = cli;
  const { id, name } = await getWorkspace(client, reference);
  let before: Workspace | undefined;
  await untilInterrupted(cli, (signal) =>
    followEvents(client, {
      path: `/api/v2/workspaces/${id}/watch`,
      signal,
      what: `Watching ${name}`,
      next: `berth watch ${name} goes on`,
      onData(value) {
        const workspace = value as Workspace;
        if (output.json) output.raw(jsonLine(workspace));
        else for (const line of workspaceChanges(before, workspace, output.colors)) output.say(timed(cli, line));
        before = workspace;
        return workspace.latest_build.status === 'deleted';
      },
    }),
  );
}

async function watchBuilds(cli: CliContext, client: Client, after: number | undefined): Promise<void> {
  const { output } = cli;
  const names = new Map<string, Promise<string>>();
  const nameOf = (id: string): Promise<string> => {
    const found =
      names.get(id) ??
      client.find<Workspace>(`/api/v2/workspaces/${id}?include_deleted=true`).then(
        (workspace) => (workspace === undefined ? id : `${workspace.owner_name}/${workspace.name}`),
        () => id,
      );
    names.set(id, found);
    return found;
  };
  const show = async (update: BuildUpdate): Promise<void> => {
    const title = `${await nameOf(update.workspace_id)}, build ${update.build_number}, ${update.transition}`;
    output.say(timed(cli, `${title}: ${statusText(update.job_status, output.colors)}`));
  };
  // One after the other, however long a name takes.
  let shown: Promise<void> = Promise.resolve();
  const onUpdate = (update: BuildUpdate): void => {
    if (output.json) output.raw(jsonLine(update));
    else shown = shown.then(() => show(update));
  };
  try {
    await untilInterrupted(cli, (signal) => followBuildUpdates(client, { after, onUpdate, signal }));
  } catch (err) {
    if (isStatus(err, 403, 404)) throw withNext(err, 'berth watch <workspace> watches one of yours');
    throw err;
  } finally {
    await shown;
  }
}
