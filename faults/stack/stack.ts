import postgres from 'postgres';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ApiClient, createApiClient } from '../api-client.ts';
import { type JobWatch, startJobWatch } from '../job-watch.ts';
import { type Ledger, openLedger } from '../ledger.ts';
import { importTemplate } from '../template.ts';
import type { ProcessIdentity } from '../../toolchain/process.ts';
import { createCleanup } from './cleanup.ts';
import { type Fleet, type FleetOptions, startFleet } from './fleet.ts';
import { startGuardian } from './guardian.ts';
import { type Services, startServices } from './services.ts';

/** Services, ledger and template: made once, used by any number of scenarios one after the other. */
export interface Stack {
  readonly services: Services;
  readonly ledger: Ledger;
  readonly sql: postgres.Sql;
  readonly watch: JobWatch;
  startFleet(options: FleetOptions): Promise<Fleet>;
  /** Session of the site's owner, who is made on first use. */
  signIn(url: () => string): Promise<string>;
  /** Imported on first use, by a fleet that has a provisioner. */
  templateId(api: ApiClient): Promise<string>;
  /** Has this process ended when we are killed ourselves. */
  adopt(identity: ProcessIdentity): void;
  /** Has this undone before the services stop. */
  onStop(undo: () => unknown): void;
  /** Ends and removes everything. Safe to call twice. */
  stop(): Promise<void>;
}

const user = { email: 'owner@example.com', username: 'owner', password: 'Fault-suite-1' };

/**
 * Throws SetupFailure with what is missing; what was started is gone then. A process that ends before this resolves leaves the
 * rest to the guardian.
 */
export async function startStack(): Promise<Stack> {
  const cleanup = createCleanup();
  const guardian = startGuardian();
  cleanup.add(() => guardian.dismiss());
  try {
    const services = await startServices(cleanup, guardian);
    const file = join(services.root, 'ledger');
    writeFileSync(file, '');
    // A server that comes back is to be seen at once.
    const sql = postgres(services.postgres.address, { max: 2, onnotice: () => undefined, backoff: () => 0.02 });
    cleanup.add(() => sql.end({ timeout: 1 }));
    const watch = startJobWatch(sql);
    cleanup.add(() => watch.stop());
    let token: Promise<string> | undefined;
    let template: Promise<string> | undefined;
    return {
      services,
      ledger: openLedger(file),
      sql,
      watch,
      startFleet: (options) => startFleet(services, { cleanup, adopt: guardian.adoptProcess }, options),
      signIn: (url) => (token ??= signIn(createApiClient(url))),
      templateId: (api) => (template ??= importTemplate(api, file)),
      adopt: guardian.adoptProcess,
      onStop: (undo) => cleanup.add(undo),
      stop: () => cleanup.run(),
    };
  } catch (err) {
    await cleanup.run();
    throw err;
  }
}

async function signIn(api: ApiClient): Promise<string> {
  await api.expect(201, 'POST', '/users/first', { json: user });
  const login = { email: user.email, password: user.password };
  const { session_token: token } = await api.expect<{ session_token: string }>(201, 'POST', '/users/login', {
    json: login,
  });
  return token;
}
