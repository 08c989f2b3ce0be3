import { expect, test } from 'vitest';
import { DROP_REASONS } from '../../src/dataplane/drop-reasons.js';
import { DESCRIPTORS } from '../../src/tunnels/index.js';

test('every protocol is found by its own name', () => {
  expect(DESCRIPTORS.size).toBeGreaterThan(0);
  for (const [name, descriptor] of DESCRIPTORS) expect(descriptor.name).toBe(name);
  expect(DESCRIPTORS.get('l2tp')).toMatchObject({ id: 1, ipProtocol: 17, defaultPort: 1701, hasPorts: true });
});

test('ids fit a key’s byte and are nobody else’s', () => {
  const ids = [...DESCRIPTORS.values()].map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  for (const id of ids) expect(id > 0 && id < 256).toBe(true);
});

test('names of drop reasons are unique over the pipeline and all protocols', () => {
  const names = [...DROP_REASONS, ...[...DESCRIPTORS.values()].flatMap(({ malformed }) => malformed)].map(
    ([name]) => name,
  );
  expect(new Set(names).size).toBe(names.length);
});
