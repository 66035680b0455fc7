import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, inject, test } from 'vitest';
import { forgetInState } from '../../terraform/state-edit.ts';
import { parseState } from '../../terraform/state.ts';
import { goldenDir, readRecorded, runTerraform, scratchDir } from './support/terraform-runs.ts';

/** What the real `terraform state rm` leaves of a state; null when it knows no such address. */
async function terraformForgets(dir: string, state: string, address: string): Promise<string | null> {
  await writeFile(join(dir, 'terraform.tfstate'), state);
  const tools = { terraformPath: inject('terraformPath'), tfCliConfig: inject('tfCliConfig') };
  const { code } = await runTerraform(tools, dir, ['state', 'rm', '-no-color', address]);
  const left = await readFile(join(dir, 'terraform.tfstate'), 'utf8');
  for (const name of await readdir(dir)) if (name.endsWith('.backup')) await rm(join(dir, name));
  return code === 0 ? left : null;
}

async function compare(state: string, addresses: readonly string[]): Promise<void> {
  const dir = await scratchDir();
  try {
    for (const address of addresses) {
      const theirs = await terraformForgets(dir, state, address);
      const ours = forgetInState(Buffer.from(state), address);
      expect([address, ours.kind]).toEqual([address, theirs === null ? 'unknown' : 'edited']);
      if (theirs === null || ours.kind !== 'edited') continue;
      const [expected, got] = [theirs, ours.bytes.toString()].map(
        (text) => JSON.parse(text) as Record<string, unknown>,
      );
      expect(got).toEqual({ ...expected, terraform_version: got?.['terraform_version'] });
      // The same Terraform writes the same bytes.
      if (parseState(theirs)?.terraformVersion === parseState(state)?.terraformVersion)
        expect(ours.bytes.toString()).toBe(theirs);
    }
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** Resources, instances, modules with and without key, and some that are near misses. */
function addressesOf(state: string): string[] {
  const instances = parseState(state)?.instances ?? [];
  const modules = [...new Set(instances.map(({ modulePath }) => modulePath))].filter((path) => path !== '');
  const withoutKey = (address: string) => address.replace(/\[[^\]]*\]+$/, '');
  // Every third of the plain ones: each costs a run of Terraform.
  const plain = instances.filter(({ indexKey }, index) => indexKey !== null || index % 3 === 0);
  const known = [
    ...plain.map(({ address }) => address),
    ...instances.filter(({ indexKey }) => indexKey === 0).map(({ address }) => withoutKey(address)),
    ...modules,
    ...modules.map(withoutKey),
  ];
  const first = instances[0]?.address ?? '';
  return [
    ...new Set([...known, `${first}[0]`, `${first}x`, 'module.none', `${modules[0] ?? 'module.none'}.none.none`]),
  ];
}

test.each(readdirSync(goldenDir('')))(
  'a state of the template %s is edited as the real terraform edits it',
  async (name) => {
    const { rawState } = await readRecorded(name);
    await compare(rawState, addressesOf(rawState));
  },
);

test('odd keys, deposed objects, big numbers, outputs and checks are left as terraform leaves them', async () => {
  const version = parseState((await readRecorded('measured')).rawState)?.terraformVersion;
  const instance = (index: string | number, more: Record<string, unknown> = {}) => ({
    index_key: index,
    ...more,
    schema_version: 0,
    attributes: { id: `id-${index}` },
    sensitive_attributes: [],
  });
  const resource = (name: string, instances: readonly unknown[]) => ({
    mode: 'managed',
    type: 'terraform_data',
    name,
    provider: 'provider["terraform.io/builtin/terraform"]',
    instances,
  });
  const state = JSON.stringify(
    {
      version: 4,
      terraform_version: version,
      serial: 9,
      lineage: '4c2b1f0e-0000-4000-8000-000000000000',
      outputs: { big: { value: 'BIG', type: 'number' } },
      resources: [
        resource('a', [instance('0'), instance('a.b[c]'), instance('q"${y}%{z}é😀\n')]),
        resource('b', [instance(0), instance(0, { deposed: 'deadbeef' }), instance(2), instance(10)]),
      ],
      check_results: null,
    },
    null,
    2,
  ).replace('"BIG"', '12345678901234567890123');
  const key = String.raw`terraform_data.a["q\"$${'${'}y}%%{z}é😀\n"]`;
  await compare(`${state}\n`, [
    'terraform_data.a',
    'terraform_data.a["0"]',
    'terraform_data.a[0]',
    'terraform_data.a["a.b[c]"]',
    key,
    'terraform_data.a["none"]',
    'terraform_data.b',
    'terraform_data.b[0]',
    'terraform_data.b["0"]',
    'terraform_data.b[10]',
    'terraform_data.b[1]',
    'data.terraform_data.a',
  ]);
});
