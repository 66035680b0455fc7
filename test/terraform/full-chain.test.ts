import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { expect, inject, test } from 'vitest';
import { convertResources } from '../../terraform/convert.ts';
import { parseObject } from '../../terraform/json.ts';
import { parsePlan, planInstances, readReferences } from '../../terraform/plan.ts';
import { parseState, showStateInstances } from '../../terraform/state.ts';
import { comparable } from './support/comparable.ts';
import { goldenDir, readRecorded, runFullChain } from './support/terraform-runs.ts';

/**
 * The short chain of a build (import's references, raw state file) against the full one (plan, show, graph): for every
 * golden template, with the real terraform and provider, and against what was recorded.
 */
test.each(readdirSync(goldenDir('')))('template %s: short and full chain agree on a real run', async (name) => {
  const chain = await runFullChain(
    { terraformPath: inject('terraformPath'), tfCliConfig: inject('tfCliConfig') },
    name,
  );
  const recorded = await readRecorded(name);
  const importReferences = readReferences(parsePlan(recorded.plan), recorded.graph);
  const convert = (instances: Parameters<typeof convertResources>[0]['instances'], references = importReferences) =>
    comparable(convertResources({ instances, references, newId: randomUUID }));

  const state = parseState(chain.rawState);
  const shown = parseObject(chain.shownState);
  const plan = parsePlan(chain.plan);
  const fresh = readReferences(plan, chain.graph);
  expect(fresh).toEqual(importReferences);
  const short = convert(state?.instances ?? []);
  expect(convert(planInstances(plan), fresh)).toEqual(short);
  expect(convert(showStateInstances(shown ?? {}), fresh)).toEqual(short);
  expect(convert(parseState(recorded.rawState)?.instances ?? [])).toEqual(short);
});
