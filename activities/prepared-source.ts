import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { extractTemplate } from '../terraform/archive.ts';
import { baseEnvironment } from '../terraform/base-environment.ts';
import { stageTiming } from '../terraform/output.ts';
import {
  PreparedDamaged,
  discardPrepared,
  layOut,
  prepare,
  preparedName,
  sweepPrepared,
} from '../terraform/prepared-directory.ts';
import type { ProvisionerDeps } from './deps.ts';
import { extractInto, restorePins } from './job-directory.ts';
import { type JobRun, sourceDirectory } from './job-run.ts';
import { initialise } from './terraform-command.ts';

/** What an import has pinned for every later run of its version, with the hashes of the archives. */
export interface VersionPins {
  readonly archiveHash: string;
  /** File of the module archive; null = no module was downloaded. */
  readonly moduleFiles: string | null;
  readonly modulesHash: string | null;
  readonly lockFile: string;
}

export const pinsOf = (version: {
  readonly archiveHash: string | null;
  readonly modulesHash: string | null;
  readonly cachedModuleFiles: string | null;
  readonly lockFile: string | null;
}): VersionPins => ({
  archiveHash: version.archiveHash ?? '',
  modulesHash: version.modulesHash,
  moduleFiles: version.cachedModuleFiles,
  lockFile: version.lockFile ?? '',
});

const preparedRoot = (deps: Pick<ProvisionerDeps, 'workRoot'>): string => join(deps.workRoot, 'prepared');
const keep = { keep: 64, unusedMs: 30 * 24 * 3_600_000 } as const;

/**
 * Lays the version's source out in a new working directory, ready to apply or plan: from the host's prepared directory, which
 * is made on first use. `fresh` templates download their modules anew each time. Throws RunFailed when init fails.
 */
export async function layOutSource(run: JobRun, pins: VersionPins, { fresh }: { fresh: boolean }): Promise<void> {
  const directory = sourceDirectory(run);
  const startedAt = new Date();
  await rm(directory, { recursive: true, force: true });
  run.log.stage('Initializing Terraform Directory');
  if (fresh) {
    await fill(run, directory, { ...pins, moduleFiles: null });
    return;
  }
  await layOutPrepared(run, pins, directory);
  const timing = stageTiming('init', startedAt, new Date());
  if (timing !== null) run.timings.push(timing);
}

async function layOutPrepared(run: JobRun, pins: VersionPins, directory: string): Promise<void> {
  const root = preparedRoot(run.deps);
  const name = await nameOf(run, pins);
  const onWait = () => run.log.say('info', 'Another run on this host prepares the template; its end is awaited.');
  for (let spaceMade = false, repaired = false; ;) {
    try {
      const prepared = await prepare(root, name, (tree) => fill(run, tree, pins), onWait);
      return await layOut(prepared, directory);
    } catch (err) {
      await rm(directory, { recursive: true, force: true });
      if (err instanceof PreparedDamaged && !repaired) {
        repaired = true;
        run.deps.logger.warn(
          { err, job_id: run.job.id, prepared: name },
          'a prepared directory is damaged, it is made again',
        );
        await discardPrepared(root, name);
      } else if ((err as NodeJS.ErrnoException).code === 'ENOSPC' && !spaceMade) {
        spaceMade = true;
        await sweepPrepared(root, { now: Date.now(), unusedMs: 0, keep: 0 });
      } else throw err;
    }
  }
}

/** Source, pinned modules and lock file, initialised. */
async function fill(run: JobRun, directory: string, pins: VersionPins): Promise<void> {
  const { terraform } = run.deps;
  await extractInto(run, directory);
  await restorePins(run, directory, pins);
  await initialise(run, directory, baseEnvironment(terraform.workerEnvironment, terraform.cliConfigPath).env);
}

async function nameOf({ deps }: JobRun, { archiveHash, modulesHash, lockFile }: VersionPins): Promise<string> {
  const { cliConfigPath, version } = deps.terraform;
  const cliConfig = cliConfigPath === null ? '' : await readFile(cliConfigPath, 'utf8');
  return preparedName({ archiveHash, modulesHash, lockFile, terraformVersion: version, cliConfig });
}

/**
 * Keeps what an import has initialised as the version's prepared directory, so that its first build on this host need not.
 * Providers and modules come from the import's directory, the source itself from the archive: plans may have written there.
 */
export async function keepPrepared(
  run: JobRun,
  source: { readonly archive: Buffer; readonly directory: string; readonly pins: VersionPins },
): Promise<void> {
  const { archive, directory, pins } = source;
  await prepare(preparedRoot(run.deps), await nameOf(run, pins), async (tree) => {
    await extractTemplate(archive, tree);
    const from = join(directory, '.terraform');
    // Without any provider or module init leaves none.
    await cp(from, join(tree, '.terraform'), { recursive: true, verbatimSymlinks: true, errorOnExist: false }).catch(
      (err: NodeJS.ErrnoException) => {
        if (err.code !== 'ENOENT') throw err;
      },
    );
    if (pins.lockFile !== '') await writeFile(join(tree, '.terraform.lock.hcl'), pins.lockFile);
  });
}

/** Removes prepared directories that are no longer used. */
export const sweepPreparedSources = (deps: Pick<ProvisionerDeps, 'workRoot'>, now: number): Promise<number> =>
  sweepPrepared(preparedRoot(deps), { now, ...keep });
