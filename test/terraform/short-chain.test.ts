import { randomUUID } from 'node:crypto';
import { readdirSync, writeFileSync } from 'node:fs';
import { cp, mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, inject, test } from 'vitest';
import { convertResources } from '../../terraform/convert.ts';
import { parseObject } from '../../terraform/json.ts';
import { parsePlan, readReferences } from '../../terraform/plan.ts';
import { layOut, prepare } from '../../terraform/prepared-directory.ts';
import { parseState, showStateInstances } from '../../terraform/state.ts';
import { comparable } from './support/comparable.ts';
import { goldenDir, mustRun, planJson, scratchDir } from './support/terraform-runs.ts';

/** Every template that the tests have, except the one that needs a container engine. */
const folder = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const corpus: readonly (readonly [string, string])[] = [
  ...readdirSync(goldenDir('')).map((name) => [name, goldenDir(name, 'template')] as const),
  ...readdirSync(folder('../support/templates')).map((name) => [name, folder(`../support/templates/${name}`)] as const),
];

let dir: string;
beforeEach(async () => {
  dir = await scratchDir();
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const quiet = ['-no-color', '-input=false', '-json'];

/**
 * What a build does (a copy of the prepared directory, one apply, the state file and the import's references) against the full
 * chain (init, plan, show, graph, apply of the plan, show), each with the real Terraform and provider from nothing.
 */
test.each(corpus)(
  'template %s: a build and the full chain give the same rows, started and stopped',
  async (_name, source) => {
    const tools = { terraformPath: inject('terraformPath'), tfCliConfig: inject('tfCliConfig') };
    const ledger = join(dir, 'ledger');
    // The template `counter` counts until a file of its workspace's name is there.
    writeFileSync(`${ledger}.default`, '');
    const variables = { TF_VAR_ledger: ledger, TF_VAR_seconds: '0' };
    const [full, short] = [join(dir, 'full'), join(dir, 'short')];
    await cp(source, full, { recursive: true });
    await mustRun(tools, full, ['init', ...quiet], variables);
    const prepared = await prepare(join(dir, 'prepared'), 'name', async (tree) => {
      await cp(source, tree, { recursive: true });
      await mustRun(tools, tree, ['init', ...quiet], variables);
    });
    await mkdir(short);
    await layOut(prepared, short);
    const imported = readReferences(
      parsePlan(await planJson(tools, full, variables)),
      await mustRun(tools, full, ['graph'], variables),
    );
    for (const transition of ['start', 'stop'] as const) {
      const env = { ...variables, CODER_WORKSPACE_TRANSITION: transition };
      const rows = (options: Omit<Parameters<typeof convertResources>[0], 'newId' | 'transition'>) =>
        comparable(convertResources({ ...options, newId: randomUUID, transition }));
      const plan = parsePlan(await planJson(tools, full, env));
      const graph = await mustRun(tools, full, ['graph'], env);
      await mustRun(tools, full, ['apply', ...quiet, '-auto-approve', 'terraform.tfplan'], env);
      const shown = parseObject(await mustRun(tools, full, ['show', '-json'], env));
      await mustRun(tools, short, ['apply', ...quiet, '-auto-approve'], env);
      const state = parseState(await readFile(join(short, 'terraform.tfstate')));
      expect(rows({ instances: state?.instances ?? [], references: imported })).toEqual(
        rows({ instances: showStateInstances(shown ?? {}), references: readReferences(plan, graph) }),
      );
    }
  },
);
