import { defineConfig } from 'vitest/config';

const MINUTE = 60_000;

/** Tests of what a user sees, whatever carries the packets. */
const ADAPTERS = [
  'tunnels',
  'survival',
  'designation',
  'host-traffic',
  'layouts',
  'ports',
  'vlan',
  'kernel-ppp',
  'l2tpns',
  'identities',
  'take-over',
  'gateway-designators',
  'cluster-figures',
  'cluster-share',
  'reply-ways',
].map((name) => `test/e2e/${name}.test.ts`);

/**
 * Three projects. `unit` needs no privileges and runs in parallel; `e2e` and `e2e-xdp` make network namespaces and run three files at a
 * time, after the unit tests: they wait more than they work, and every lab is its own. Forks rather than threads:
 * raw-socket loads in one thread of a process only.
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
          // Vitest leaves a processor free for itself, which of two is half of them.
          maxWorkers: '100%',
          testTimeout: 30_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          maxWorkers: 3,
          testTimeout: 3 * MINUTE,
          hookTimeout: 3 * MINUTE,
          env: { TD_TEST_IO: 'packet' },
          sequence: { groupOrder: 1 },
        },
      },
      {
        // The same tests of the product, with the XDP program in front.
        extends: true,
        test: {
          name: 'e2e-xdp',
          include: ADAPTERS,
          maxWorkers: 3,
          testTimeout: 3 * MINUTE,
          hookTimeout: 3 * MINUTE,
          env: { TD_TEST_IO: 'xdp' },
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
