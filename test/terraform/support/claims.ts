import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ClaimDependencies } from '../../../domain/provisioned.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../../../domain/ids.ts';
import { claimDependencies } from '../../../terraform/claim-dependencies.ts';
import { readModuleFiles } from '../../../terraform/claim-sources.ts';
import { buildEnvironment, importEnvironment } from '../../../terraform/environment.ts';
import { labelOf } from '../../../terraform/instances.ts';
import { type JsonObject, blocksAt, objectAt, textAt, textsAt } from '../../../terraform/json.ts';
import { parsePlan, planInstances } from '../../../terraform/plan.ts';
import { type TerraformTools, mustRun, planJson } from './terraform-runs.ts';

export const prelude = `
terraform {
  required_providers {
    coder = { source = "coder/coder" }
  }
}
data "coder_workspace" "me" {}
data "coder_workspace_owner" "me" {}
resource "coder_agent" "main" {
  os   = "linux"
  arch = "amd64"
}
`;

const accessUrl = 'https://berth.example.com';
const variables: never[] = [];
const agentScripts = { linux_amd64: '#!/bin/sh' };

export const claimant = { id: '5a3c0a4e-60a8-4c58-9d0c-6ff0d6b6a0c1', name: 'ann', email: 'ann@example.com' };
export const claimedName = 'mine';
export const workspaceId = '0b6cf4be-62a0-4a0d-8a43-5d2f8d1f8f10';

function buildOf(stage: 'create' | 'claim', fullName: string, runningAgentToken: string | null) {
  const owner =
    stage === 'create'
      ? { id: PREBUILDS_SYSTEM_USER_ID, username: 'prebuilds', name: 'Prebuilds Owner', email: 'prebuilds@system' }
      : { id: claimant.id, username: claimant.name, name: fullName, email: claimant.email };
  return buildEnvironment({
    accessUrl,
    transition: 'start',
    workspace: { id: workspaceId, name: stage === 'create' ? 'prebuild-1' : claimedName },
    buildId: stage,
    template: { id: 'template', name: 'template' },
    versionName: 'v1',
    owner: {
      ...owner,
      groups: [stage],
      rbacRoles: [],
      loginType: 'password',
      sessionToken: `session-${stage}`,
      oidcAccessToken: '',
      sshPublicKey: `public-${stage}`,
      sshPrivateKey: `private-${stage}`,
    },
    parameters: [],
    previousParameters: [],
    variables,
    externalAuthTokens: [],
    prebuildStage: stage,
    runningAgentToken,
    agentScripts,
    task: null,
    logLevel: null,
  });
}

/** Writes a template and decides as an import does. */
export async function importedClaim(
  tools: TerraformTools,
  dir: string,
  files: Readonly<Record<string, string>>,
): Promise<ClaimDependencies> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), text);
  }
  await mustRun(tools, dir, ['init', '-no-color', '-input=false', '-json']);
  const environment = importEnvironment({ accessUrl, transition: 'start', variables, agentScripts });
  const plan = parsePlan(await planJson(tools, dir, environment));
  return claimDependencies({ plan, files: await readModuleFiles(dir) });
}

export interface ClaimedChange {
  /** Labels of managed resources that the claim's plan changes. */
  readonly changed: readonly string[];
  /** The claim's plan. */
  readonly plan: JsonObject;
}

/** What really happens: applies the template that lies in `dir` as a prebuild, then plans it as its claim. */
export async function planClaim(tools: TerraformTools, dir: string, fullName = 'Ann Example'): Promise<ClaimedChange> {
  const created = buildOf('create', '', null);
  await mustRun(tools, dir, ['apply', '-no-color', '-input=false', '-json', '-auto-approve'], created);
  const state = parsePlan(await mustRun(tools, dir, ['show', '-json']));
  const agents = planInstances({ planned_values: objectAt(state, 'values') }).filter(
    ({ mode, type }) => mode === 'managed' && type === 'coder_agent',
  );
  const token = agents[0] === undefined ? null : textAt(agents[0].values, 'token');
  const plan = parsePlan(await planJson(tools, dir, buildOf('claim', fullName, token)));
  const changed = blocksAt(plan, 'resource_changes').filter((resource) => {
    const actions = textsAt(objectAt(resource, 'change'), 'actions');
    return textAt(resource, 'mode') === 'managed' && actions.some((action) => action !== 'no-op');
  });
  return { changed: [...new Set(changed.map((resource) => labelOf(textAt(resource, 'address'))))].toSorted(), plan };
}
