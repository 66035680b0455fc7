import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../../../toolchain/process.ts';

export interface TerraformTools {
  readonly terraformPath: string;
  readonly tfCliConfig: string;
}

export const goldenDir = (name: string, ...path: string[]): string =>
  join(fileURLToPath(new URL('../golden/', import.meta.url)), name, ...path);

/** A scratch directory that the caller's test removes. */
export const scratchDir = (): Promise<string> => mkdtemp(join(tmpdir(), 'berth-terraform-'));

export const terraformEnv = (tools: TerraformTools, extra: Readonly<Record<string, string>> = {}) => ({
  PATH: process.env.PATH ?? '',
  HOME: process.env.HOME ?? '/tmp',
  TF_IN_AUTOMATION: '1',
  CHECKPOINT_DISABLE: '1',
  TF_CLI_CONFIG_FILE: tools.tfCliConfig,
  CODER_AGENT_URL: 'https://berth.example.com:8443',
  CODER_WORKSPACE_TRANSITION: 'start',
  ...extra,
});

/** Runs terraform to its end; the caller judges the exit code. */
export async function runTerraform(
  tools: TerraformTools,
  dir: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return run(tools.terraformPath, args, { cwd: dir, env: terraformEnv(tools, env) });
}

/** Like `runTerraform`, but a failure is an error that shows the output. */
export async function mustRun(
  tools: TerraformTools,
  dir: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { code, stdout, stderr } = await runTerraform(tools, dir, args, env);
  if (code !== 0) throw new Error(`terraform ${args.join(' ')} ended with ${code}\n${stdout.slice(-4000)}\n${stderr}`);
  return stdout;
}

const quiet = ['-no-color', '-input=false', '-json'] as const;

export async function planJson(
  tools: TerraformTools,
  dir: string,
  env: Readonly<Record<string, string>> = {},
  ...extra: string[]
): Promise<string> {
  await mustRun(tools, dir, ['plan', ...quiet, '-out=terraform.tfplan', ...extra], env);
  return mustRun(tools, dir, ['show', '-json', 'terraform.tfplan'], env);
}

export interface FullChain {
  readonly plan: string;
  readonly graph: string;
  readonly rawState: string;
  readonly shownState: string;
  readonly stopPlan: string;
}

/** Copies a golden template into `dir` and initialises it. */
export async function prepare(tools: TerraformTools, name: string, dir: string): Promise<void> {
  await cp(goldenDir(name, 'template'), dir, { recursive: true });
  await mustRun(tools, dir, ['init', ...quiet]);
}

/** The yardstick of spec/02 §3.3: plan, show, graph, apply, show; before it a stop plan without state, as an import makes. */
export async function runFullChain(tools: TerraformTools, name: string): Promise<FullChain> {
  const dir = await scratchDir();
  try {
    await prepare(tools, name, dir);
    const stopPlan = await planJson(tools, dir, { CODER_WORKSPACE_TRANSITION: 'stop' });
    const plan = await planJson(tools, dir);
    const graph = await mustRun(tools, dir, ['graph']);
    await mustRun(tools, dir, ['apply', ...quiet, '-auto-approve', 'terraform.tfplan']);
    const shownState = await mustRun(tools, dir, ['show', '-json']);
    const rawState = await readFile(join(dir, 'terraform.tfstate'), 'utf8');
    return { plan, graph, rawState, shownState, stopPlan };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

export const recordedFiles = {
  plan: 'plan.json',
  stopPlan: 'stop-plan.json',
  graph: 'graph.dot',
  rawState: 'terraform.tfstate',
  shownState: 'state.json',
} as const satisfies Record<keyof FullChain, string>;

/** What `npx tsx test/terraform/support/record-golden.ts` wrote, so that pure tests need no terraform. */
export async function readRecorded(name: string): Promise<FullChain> {
  const entries = await Promise.all(
    Object.entries(recordedFiles).map(async ([key, file]) => [
      key,
      await readFile(goldenDir(name, 'recorded', file), 'utf8'),
    ]),
  );
  return Object.fromEntries(entries) as unknown as FullChain;
}

export async function writeRecorded(name: string, chain: FullChain): Promise<void> {
  for (const [key, file] of Object.entries(recordedFiles))
    await writeFile(goldenDir(name, 'recorded', file), chain[key as keyof FullChain]);
}
