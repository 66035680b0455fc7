import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createCreateTemplateVersion } from '../../commands/create-template-version.ts';
import { provisionerJobs } from '../../db/schema/provisioner-jobs.ts';
import { templateVersions } from '../../db/schema/templates.ts';
import { listJobLogs } from '../../db/queries/job-logs.ts';
import { defaultOrganizationId, insertPerson, storeArchive, templateFiles, testOrigin } from '../support/builders.ts';
import { type TestStack, startTestStack } from '../support/stack.ts';
import { waitFor } from '../support/wait.ts';

let stack: TestStack;
beforeAll(async () => {
  stack = await startTestStack();
});
afterAll(() => stack.stop());

test('a template is imported', async () => {
  const { db } = stack.database;
  const owner = await insertPerson(db, { username: 'admin', roles: ['owner'] });
  const organizationId = await defaultOrganizationId(db);
  const fileId = await storeArchive(db, owner, templateFiles('basic'));
  const t0 = Date.now();
  const versionId = await createCreateTemplateVersion(stack.commands)(owner, {
    organizationId, name: 'v1', message: '', fileId, tags: {}, userVariableValues: [], origin: testOrigin(owner.id),
  });
  const job = await waitFor('import', async () => {
    const [row] = await db.select({ status: provisionerJobs.jobStatus, id: provisionerJobs.id, error: provisionerJobs.error }).from(provisionerJobs).innerJoin(templateVersions, eq(templateVersions.jobId, provisionerJobs.id)).where(eq(templateVersions.id, versionId));
    return row !== undefined && ['succeeded', 'failed'].includes(row.status) ? row : undefined;
  });
  console.log(Date.now() - t0, job);
  for (const l of await listJobLogs(db, { jobId: job.id })) console.log(l.stage, '|', l.level, '|', l.output);
  expect(job.status).toBe('succeeded');
});
