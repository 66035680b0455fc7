import { mkdir, readdir } from 'node:fs/promises';
import { goldenDir, runFullChain, writeRecorded } from './terraform-runs.ts';

/** Records every golden template anew: `npx tsx test/terraform/support/record-golden.ts <terraform> <cli config>`. */
const [terraformPath, tfCliConfig] = process.argv.slice(2);
if (terraformPath === undefined || tfCliConfig === undefined)
  throw new Error('usage: record-golden.ts <path of terraform> <path of its CLI configuration>');
for (const name of await readdir(goldenDir(''))) {
  await mkdir(goldenDir(name, 'recorded'), { recursive: true });
  await writeRecorded(name, await runFullChain({ terraformPath, tfCliConfig }, name));
  console.log(`recorded ${name}`);
}
