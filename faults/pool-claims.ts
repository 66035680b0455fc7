import { randomUUID } from 'node:crypto';
import type { ApiClient } from './api-client.ts';
import { createApiClient } from './api-client.ts';
import type { Context } from './context.ts';
import { eventually } from './patience.ts';
import type { Pool } from './pools.ts';
import { type Run, addFindings } from './run.ts';

/** Somebody who claims; the secret is in the environment of his workspaces and of no others. */
export interface Claimant {
  readonly id: string;
  readonly name: string;
  readonly api: ApiClient;
  /** `NAME=value`, as it is in that environment. */
  readonly secret: string;
}

const acceptedWithinMs = 60_000;
const password = 'Fault-suite-1';
/** While a process or the database is away. */
const allowed = [0, 503];

export async function createClaimant(context: Context, name: string): Promise<Claimant> {
  const { api } = context;
  const url = () => context.fleet.apis[0]!.url;
  const email = `${name}@example.com`;
  const [{ id: organization } = { id: '' }] = await api.expect<{ id: string }[]>(200, 'GET', '/organizations');
  const { id } = await api.expect<{ id: string }>(201, 'POST', '/users', {
    json: { username: name, email, password, organization_ids: [organization] },
  });
  const login = { json: { email, password } };
  const { session_token: token } = await api.expect<{ session_token: string }>(201, 'POST', '/users/login', login);
  const own = createApiClient(url, token);
  const env = `FAULT_SECRET_${name.toUpperCase().replaceAll('-', '_')}`;
  const value = randomUUID();
  await own.expect(201, 'POST', '/users/me/secrets', { json: { name: 'own', value, env_name: env } });
  return { id, name, api: own, secret: `${env}=${value}` };
}

/**
 * Claims, again and again under one Idempotency-Key until there is an answer. Answers the id of the workspace; undefined when it
 * was never accepted.
 */
export async function claimOne(
  run: Run,
  { claimant, pool, name }: { claimant: Pick<Claimant, 'api'>; pool: Pool; name: string },
): Promise<string | undefined> {
  const { versions, active, templateId } = pool;
  const json = { name, template_id: templateId, template_version_preset_id: versions[active]!.presetId };
  const idempotencyKey = randomUUID();
  const accepted = await eventually(
    async () => {
      const call = { json, idempotencyKey };
      const { status, body } = await claimant.api.request<{ id: string }>('POST', '/users/me/workspaces', call);
      if (status === 201) return body.id;
      const what = `the claim was answered ${status} ${JSON.stringify(body).slice(0, 200)}`;
      if (allowed.includes(status)) run.notes.push(what);
      else addFindings(run, [{ kind: 'wrong', what }]);
      return undefined;
    },
    { boundMs: acceptedWithinMs, everyMs: 100 },
  );
  if (accepted === undefined)
    addFindings(run, [{ kind: 'stuck', what: `no claim was accepted within ${acceptedWithinMs} ms` }]);
  return accepted;
}
