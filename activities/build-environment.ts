import { openPrivateKey } from '../db/git-ssh-key.ts';
import { readVariableValue } from '../db/queries/template-imports.ts';
import { deleteSessionToken, replaceSessionToken, sessionTokenName } from '../db/queries/session-tokens.ts';
import type { BuildRun } from '../db/queries/workspace-builds.ts';
import { baseEnvironment } from '../terraform/base-environment.ts';
import { buildEnvironment } from '../terraform/environment.ts';
import type { JobRun } from './job-run.ts';

/** Environment of a build's Terraform; every secret in it is masked in the log from here on. Source: spec/02 §3.1. */
export async function prepareBuildEnvironment(
  run: JobRun,
  found: BuildRun,
  options: {
    parameters?: readonly { name: string; value: string }[];
    /** Of the one agent that must keep it. */
    runningAgentToken?: string | null;
  } = {},
): Promise<Record<string, string>> {
  const { deps, job, redactor } = run;
  const { build, workspace, owner, template, version, previousParameters } = found;
  const { parameters = found.parameters, runningAgentToken = null } = options;
  // What only reads changes nothing for who works in the workspace.
  const sessionToken = build.refreshOnly ? '' : await renewSessionToken(run, found);
  const variables = version.variables.map((row) => ({
    ...row,
    value: readVariableValue(deps.cipher, version.id, row),
  }));
  redactor.add(variables.filter((variable) => variable.sensitive).map((variable) => variable.value));
  const sshPrivateKey = owner.sshPrivateKey === null ? '' : openPrivateKey(deps.cipher, owner.id, owner.sshPrivateKey);
  redactor.add([sessionToken, sshPrivateKey]);
  const { env: base, inheritedTerraformVariables } = baseEnvironment(
    deps.terraform.workerEnvironment,
    deps.terraform.cliConfigPath,
  );
  for (const text of inheritedTerraformVariables)
    run.log.say('warn', `The worker's environment sets ${text}; Terraform uses it.`);
  const roles = [
    ...owner.rbacRoles.map((name) => ({ name, orgId: '' })),
    ...(owner.organizationRoles ?? []).map((name) => ({ name, orgId: workspace.organizationId })),
  ];
  return {
    ...base,
    ...buildEnvironment({
      accessUrl: deps.accessUrl,
      transition: build.transition,
      workspace: { id: workspace.id, name: workspace.name },
      buildId: build.id,
      template,
      versionName: version.name,
      owner: {
        id: owner.id,
        username: owner.username,
        name: owner.name,
        email: owner.email,
        groups: found.groups,
        rbacRoles: roles,
        loginType: owner.loginType,
        sessionToken,
        oidcAccessToken: '',
        sshPublicKey: owner.sshPublicKey ?? '',
        sshPrivateKey,
      },
      parameters,
      previousParameters,
      variables,
      externalAuthTokens: [],
      prebuildStage: build.prebuildStage,
      runningAgentToken,
      refreshOnly: build.refreshOnly,
      agentScripts: deps.agentScripts,
      task: null,
      logLevel: job.input.log_level ?? null,
    }),
  };
}

/** Start: the old token dies, a new one is made. Stop and delete: it only dies. Prebuilds have none (spec/02 §3.2). */
async function renewSessionToken(run: JobRun, { build, workspace, owner }: BuildRun): Promise<string> {
  const { db, maxTokenLifetimeMs } = run.deps;
  const key = { userId: owner.id, name: sessionTokenName(owner.id, workspace.id) };
  if (build.transition !== 'start' || owner.isSystem) {
    await deleteSessionToken(db, key);
    return '';
  }
  return replaceSessionToken(db, {
    ...key,
    loginType: owner.loginType,
    lifetimeSeconds: Math.floor(maxTokenLifetimeMs / 1000),
    now: new Date(),
  });
}
