import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { JsonValue, TestApi } from './api.ts';
import { templateFiles } from './builders.ts';
import { waitFor } from './wait.ts';
import { importVersion } from './workspaces.ts';

/** What the provisioners of the template `slow` really did: the oracle that stored states are compared with. */
export interface Ledger {
  /** Imports a test template that writes here (default `slow`) and makes it a template of this name. */
  template(
    api: TestApi,
    name: string,
    options: { name?: string; variables?: Readonly<Record<string, string>> },
  ): Promise<JsonValue>;
  /** Effects on a workspace in order: `create first`, … */
  effects(workspace: string): string[];
  /** Lets the template `counter` of a workspace come to its end. */
  enough(workspace: string): void;
  /** Waits until the effect has happened. */
  seen(workspace: string, effect: string): Promise<unknown>;
  remove(): void;
}

export function createLedger(): Ledger {
  const directory = mkdtempSync(join(tmpdir(), 'berth-ledger-'));
  const file = join(directory, 'ledger');
  const effects = (workspace: string): string[] => {
    try {
      return readFileSync(file, 'utf8')
        .split('\n')
        .map((line) => line.split(' '))
        .filter(([, name]) => name === workspace)
        .map(([verb, , resource]) => `${verb} ${resource}`);
    } catch {
      return [];
    }
  };
  return {
    effects,
    async template(api, name, { name: source = 'slow', variables: more = {} }) {
      const variables = Object.entries({ ledger: file, ...more }).map(([key, value]) => ({ name: key, value }));
      const version = await importVersion(api, templateFiles(source), { variables });
      expect(version.job.error).toBeUndefined();
      const body = { name, template_version_id: version.id };
      const created = await api.request('POST', '/api/v2/organizations/default/templates', {
        token: api.ownerToken,
        body,
      });
      expect(created.text && created.status).toBe(201);
      return created.body;
    },
    enough: (workspace) => writeFileSync(`${file}.${workspace}`, ''),
    seen: (workspace, effect) => waitFor(`${effect} of ${workspace}`, async () => effects(workspace).includes(effect)),
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}
