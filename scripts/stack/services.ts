import { join } from 'node:path';
import { Connection } from '@temporalio/client';
import { nativeConnectionOptions } from '../../commands/temporal.ts';
import type { Config } from '../../config.ts';
import { migrate } from '../../db/migrate.ts';
import { SetupFailure, messageOf } from '../../toolchain/failure.ts';
import { answers, startPostgres } from '../../toolchain/postgres.ts';
import { resolveTemporalFor, resolveTerraformFor } from '../../toolchain/resolve.ts';
import { ensureSearchAttributes } from '../../toolchain/search-attributes.ts';
import type { Supervisor } from '../../toolchain/supervisor.ts';
import { startTemporal } from '../../toolchain/temporal-server.ts';
import type { ToolContext } from '../../toolchain/tool-context.ts';
import { logPath } from './state.ts';

export interface Services {
  /** Environment of the API and the workers: where everything is. */
  readonly env: Readonly<Record<string, string>>;
  readonly temporal: { readonly address: string; readonly namespace: string; readonly uiUrl: string | null };
}

/** Tools, PostgreSQL with the schema, and Temporal: our own ones under the supervisor, or those that the settings name. */
export async function startServices(config: Config, context: ToolContext, supervisor: Supervisor): Promise<Services> {
  const { terraform, mirror } = await resolveTerraformFor(config, context, ['coder']);
  const cli = config.TEMPORAL_ADDRESS === undefined ? await resolveTemporalFor(config, context) : null;
  const pgUrl = await providePostgres(config, context, supervisor);
  await context.progress.step('database schema', async () => {
    try {
      await migrate(pgUrl);
    } catch (err) {
      throw new SetupFailure(
        `the database could not be migrated: ${messageOf(err)}`,
        'the user of CODER_PG_CONNECTION_URL has to own the database; a database of a later release cannot be used',
        { cause: err },
      );
    }
  });
  const temporal =
    cli === null
      ? await useTemporal(config, context)
      : await provideTemporal(config, { context, supervisor, cli: cli.path });
  return {
    temporal,
    env: {
      CODER_PG_CONNECTION_URL: pgUrl,
      TEMPORAL_ADDRESS: temporal.address,
      TEMPORAL_NAMESPACE: temporal.namespace,
      ...(temporal.uiUrl !== null && { TEMPORAL_UI_URL: temporal.uiUrl }),
      BERTH_TERRAFORM_PATH: terraform.path,
      BERTH_TF_CLI_CONFIG: mirror.cliConfigPath,
      BERTH_DATA_DIR: config.BERTH_DATA_DIR,
      BERTH_WORK_ROOT: config.BERTH_WORK_ROOT,
    },
  };
}

function providePostgres(config: Config, context: ToolContext, supervisor: Supervisor): Promise<string> {
  const { progress } = context;
  const existing = config.CODER_PG_CONNECTION_URL;
  if (existing !== undefined)
    return progress.step(
      'PostgreSQL',
      async () => {
        if (await answers(existing)) return existing;
        throw new SetupFailure(
          'the PostgreSQL of CODER_PG_CONNECTION_URL does not answer, or refuses the user or the database',
          'check the URL (postgres://user:password@host:port/database), or unset it to use the embedded server',
        );
      },
      () => 'as configured (CODER_PG_CONNECTION_URL)',
    );
  const options = {
    dir: join(config.BERTH_DATA_DIR, 'postgres'),
    logFile: logPath(config.BERTH_DATA_DIR, 'postgres'),
    progress,
    preferredPort: config.BERTH_PG_PORT,
  };
  let url: string | undefined;
  return progress.step(
    'PostgreSQL',
    async () => {
      const first = await supervisor.run('postgres', async () => {
        const running = await startPostgres(options);
        url ??= running.url;
        if (running.url === url) return running;
        // The others hold the old address; somebody else has its port only for a moment, so a later try gets it.
        await running.stop();
        throw new Error(`port ${new URL(url).port} is taken`);
      });
      return first.url;
    },
    (result) => `embedded, 127.0.0.1:${new URL(result).port}`,
  );
}

function provideTemporal(
  config: Config,
  { context, supervisor, cli }: { context: ToolContext; supervisor: Supervisor; cli: string },
): Promise<Services['temporal']> {
  const namespace = config.TEMPORAL_NAMESPACE;
  const ports = { preferredPort: config.BERTH_TEMPORAL_PORT, preferredUiPort: config.BERTH_TEMPORAL_UI_PORT };
  return context.progress.step(
    'Temporal server',
    async () => {
      let address: string | undefined;
      const { uiUrl, address: first } = await supervisor.run('temporal', async () => {
        const running = await startTemporal({
          cli,
          env: context.env,
          namespace,
          logFile: logPath(config.BERTH_DATA_DIR, 'temporal'),
          dbFile: join(config.BERTH_DATA_DIR, 'temporal.db'),
          ...ports,
        });
        address ??= running.address;
        ports.preferredPort = Number(address.split(':')[1]);
        if (running.uiUrl !== null) ports.preferredUiPort = Number(new URL(running.uiUrl).port);
        if (running.address === address) return running;
        await running.stop();
        throw new Error(`port ${ports.preferredPort} is taken`);
      });
      return { address: first, namespace, uiUrl };
    },
    (result) => `${result.address}, Web UI ${result.uiUrl ?? 'off'}`,
  );
}

/** A cluster of the operator's: nothing is started, only looked at. */
function useTemporal(config: Config, { progress }: ToolContext): Promise<Services['temporal']> {
  const address = config.TEMPORAL_ADDRESS ?? '';
  const namespace = config.TEMPORAL_NAMESPACE;
  return progress.step(
    'Temporal server',
    async () => {
      let connection: Connection | undefined;
      try {
        connection = await Connection.connect({ ...nativeConnectionOptions(config), connectTimeout: 10_000 });
        await connection.workflowService.describeNamespace({ namespace });
      } catch (err) {
        await connection?.close();
        throw new SetupFailure(
          `the Temporal at ${address}, namespace ${namespace}, cannot be used: ${messageOf(err)}`,
          'check TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE and the TLS or API key settings, or unset TEMPORAL_ADDRESS for a local server',
          { cause: err },
        );
      }
      await ensureSearchAttributes(connection, namespace, progress);
      await connection.close();
      return { address, namespace, uiUrl: config.TEMPORAL_UI_URL ?? null };
    },
    () => `as configured (TEMPORAL_ADDRESS=${address})`,
  );
}
