import type { Config } from '../config.ts';
import type { Progress } from './progress.ts';
import { prepareProviderMirror } from './provider-mirror.ts';
import type { KnownProvider, ProviderMirror } from './provider-mirror.ts';
import { resolveTemporalCli } from './temporal-cli.ts';
import { resolveTerraform } from './terraform-cli.ts';
import type { ResolvedTerraform } from './terraform-cli.ts';
import type { ToolContext } from './tool-context.ts';
import type { ResolvedTool, ToolSource } from './tool-store.ts';

/** The resolvers' context from the settings. `env` is what the tools themselves run with. */
export const toolContext = (config: Config, env: NodeJS.ProcessEnv, progress: Progress): ToolContext => ({
  dirs: { tools: config.BERTH_TOOLS_DIR, cache: config.BERTH_TOOLS_CACHE },
  path: config.PATH,
  env,
  progress,
});

const origin: Record<ToolSource, string> = {
  configured: 'as configured',
  path: 'on PATH',
  tools: 'set up earlier',
  cache: 'from the cache of another clone',
  download: 'downloaded',
  registry: 'from the registry',
  go: 'built with Go',
};
export const describeTool = ({ path, version, source }: ResolvedTool): string =>
  `${version}, ${origin[source]} (${path})`;

/** Temporal CLI by the settings; not needed when TEMPORAL_ADDRESS names a server. */
export const resolveTemporalFor = (config: Config, context: ToolContext): Promise<ResolvedTool> =>
  context.progress.step(
    'Temporal',
    () => resolveTemporalCli({ ...context, configuredPath: config.TEMPORAL_CLI_PATH }),
    (tool) => `server ${describeTool(tool)}`,
  );

/** Terraform by the settings, with a mirror of the given providers. */
export async function resolveTerraformFor(
  config: Config,
  context: ToolContext,
  providers: readonly KnownProvider[],
): Promise<{ terraform: ResolvedTerraform; mirror: ProviderMirror }> {
  const terraform = await context.progress.step(
    'Terraform',
    () => resolveTerraform({ ...context, configuredPath: config.BERTH_TERRAFORM_PATH }),
    (tool) => `${tool.flavor === 'tofu' ? 'OpenTofu ' : ''}${describeTool(tool)}`,
  );
  const mirror = await context.progress.step(
    'Terraform providers',
    () => prepareProviderMirror({ ...context, terraform, providers, network: config.BERTH_PROVIDER_NETWORK }),
    (result) => result.providers.map(({ name, version, source }) => `${name} ${version} ${origin[source]}`).join(', '),
  );
  return { terraform, mirror };
}
