/** The heap of deadlines against a plain map. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Deadlines } from '../../../src/roles/lac/deadlines.js';

interface Item {
  readonly id: number;
}
const ITEMS: readonly Item[] = Array.from({ length: 20 }, (_, id) => ({ id }));

test('takes what is due, earliest first, each with its last deadline', () => {
  const step = fc.oneof(
    fc.record({ act: fc.constant('set'), id: fc.nat(19), at: fc.nat(1000) }),
    fc.record({ act: fc.constant('delete'), id: fc.nat(19), at: fc.constant(0) }),
    fc.record({ act: fc.constant('take'), id: fc.constant(0), at: fc.nat(1000) }),
    fc.record({ act: fc.constant('never'), id: fc.nat(19), at: fc.constant(Number.POSITIVE_INFINITY) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const deadlines = new Deadlines<Item>();
      const model = new Map<Item, number>();
      for (const { act, id, at } of steps) {
        const item = ITEMS[id];
        if (act === 'set' || act === 'never') deadlines.set(item, at);
        if (act === 'set') model.set(item, at);
        if (act === 'delete') deadlines.delete(item);
        if (act === 'delete' || act === 'never') model.delete(item);
        if (act === 'take') {
          const taken = deadlines.take(at);
          const least = Math.min(...model.values());
          if (least > at) expect(taken).toBeNull();
          else {
            expect(model.get(taken as Item)).toBe(least);
            model.delete(taken as Item);
          }
        }
        expect(deadlines.size).toBe(model.size);
        expect(deadlines.nextTime).toBe(Math.min(...model.values()));
      }
    }),
    { numRuns: 300 },
  );
});
