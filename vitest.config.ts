import { defineConfig } from 'vitest/config';

const MINUTE = 60_000;

/**
 * Two projects. `unit` needs no privileges and runs in parallel; `e2e` makes network namespaces and runs one file at a
 * time, after the unit tests, because its timing would suffer from neighbours. Forks rather than threads: raw-socket
 * loads in one thread of a process only.
 */
export default defineConfig({
  test: {
    pool: 'forks',
    teardownTimeout: MINUTE,
    include: [],
    coverage: { provider: 'v8', include: ['src/**/*.ts'] },
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/e2e/**'],
          testTimeout: 30_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 3 * MINUTE,
          hookTimeout: 3 * MINUTE,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
