import { defineConfig } from 'vitest/config';

/**
 * One project per kind of test (style.md). The set-up starts only the services that the project's own entry in it names:
 * `domain` and `replay` start none.
 */
const globalSetup = ['./test/support/global-setup.ts'];
const project = (name: string, include: string[], extra: Record<string, unknown> = {}) => ({
  test: { name, include, globalSetup, testTimeout: 60_000, hookTimeout: 120_000, ...extra },
});

export default defineConfig({
  test: {
    // Two cores carry PostgreSQL, Temporal and Terraform as well: more files at once only make every test slower.
    maxWorkers: 2,
    projects: [
      project('domain', ['test/domain/**/*.test.ts'], { globalSetup: [] }),
      project('agent', ['test/agent/**/*.test.ts'], { globalSetup: [] }),
      project('db', ['test/db/**/*.test.ts']),
      project('api', ['test/api/**/*.test.ts']),
      project('toolchain', ['test/toolchain/**/*.test.ts']),
      project('terraform', ['test/terraform/**/*.test.ts']),
      project('workflows', ['test/workflows/**/*.test.ts']),
      project('replay', ['test/replay/**/*.test.ts'], { globalSetup: [] }),
      project('cli', ['test/cli/**/*.test.ts']),
      project('e2e', ['test/e2e/**/*.test.ts'], { testTimeout: 180_000 }),
      project('faults', ['test/faults/**/*.test.ts'], { testTimeout: 300_000 }),
    ],
  },
});
