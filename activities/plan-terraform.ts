import type { JsonObject } from '../terraform/json.ts';
import { parsePlan, planSecrets } from '../terraform/plan.ts';
import type { JobRun } from './job-run.ts';
import { readTerraform, runTerraformCommand } from './terraform-command.ts';

export interface TerraformPlan {
  /** In the working directory. It holds secrets, and goes with the directory. */
  readonly file: string;
  /** What `terraform show -json` says of it. */
  readonly json: JsonObject;
}

/** Plans and reads the plan back; its secrets are masked in the log from here on. `name` is the file's and that of its runs. */
export async function planTerraform(
  run: JobRun,
  { name, cwd, env }: { name: string; cwd: string; env: Record<string, string> },
): Promise<TerraformPlan> {
  const file = `${name}.tfplan`;
  const args = ['plan', '-no-color', '-input=false', '-json', '-refresh=true', `-out=${file}`];
  await runTerraformCommand(run, { stage: 'plan', name: `plan-${name}`, args, cwd, env });
  const text = await readTerraform(run, { name: `show-${name}`, args: ['show', '-json', file], cwd, env });
  const json = parsePlan(text);
  run.redactor.add(planSecrets(json));
  return { file, json };
}
