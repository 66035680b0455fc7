import { expect, test } from 'vitest';
import { allowedEnvironment } from '../../terraform/allowed-environment.ts';
import { baseEnvironment } from '../../terraform/base-environment.ts';

const worker = {
  PATH: '/bin',
  LC_ALL: 'C',
  AWS_ACCESS_KEY_ID: 'key',
  TF_VAR_region: 'eu',
  HTTPS_PROXY: 'http://proxy',
  INTERNAL_API_KEY: 'secret',
  MY_CLOUD_TOKEN: 'token',
  MY_CLOUD_REGION: 'eu',
  CODER_PG_CONNECTION_URL: 'postgres://',
  BERTH_LOG_LEVEL: 'info',
  PGPASSWORD: 'x',
  UNSET: undefined,
};
const names = (more: string[]) => Object.keys(allowedEnvironment(worker, more)).toSorted();

test('templates see what programs need and what providers are known to read, and nothing else of the worker', () => {
  expect(names([])).toEqual(['AWS_ACCESS_KEY_ID', 'HTTPS_PROXY', 'LC_ALL', 'PATH', 'TF_VAR_region']);
});

test('an operator may add names and prefixes', () => {
  expect(names(['INTERNAL_API_KEY'])).toContain('INTERNAL_API_KEY');
  expect(names(['MY_CLOUD_*'])).toEqual(expect.arrayContaining(['MY_CLOUD_TOKEN', 'MY_CLOUD_REGION']));
  expect(names(['MY_CLOUD'])).not.toContain('MY_CLOUD_TOKEN');
});

test('even everything is without what belongs to the platform', () => {
  const { env } = baseEnvironment(allowedEnvironment(worker, ['*']), null);
  expect(env).toMatchObject({ INTERNAL_API_KEY: 'secret', PATH: '/bin' });
  for (const name of ['CODER_PG_CONNECTION_URL', 'BERTH_LOG_LEVEL', 'PGPASSWORD', 'UNSET'])
    expect(env).not.toHaveProperty(name);
});
