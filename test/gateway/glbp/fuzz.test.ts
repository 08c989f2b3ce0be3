/** What anybody may send to a GLBP gateway: it never throws, and nobody without the secret changes who answers. */
import { expect, test } from 'vitest';
import { glbpSecret } from '../../../src/gateway/glbp/options.js';
import { arp } from '../../helpers/neighbour-frames.js';
import { Segment, SHARED } from './segment.js';

/** Park and Miller. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 0x7fffffff;
    return state % below;
  };
}

const ROUNDS = 4000;

test.each([1, 2, 3])('changed, cut and repeated frames, seed %i', (seed) => {
  const random = randomOf(seed);
  const secret = glbpSecret('md5-chain', Uint8Array.of(1, 2, 3, 4));
  const segment = new Segment();
  const gateways = [110, 105, 100].map((priority) => segment.add({ priority, glbp: { secret } as never }));
  segment.run(30);
  const before = JSON.stringify(segment.held);
  const frames = [
    ...gateways.flatMap(({ sent }) => sent),
    arp({ from: 0x020000001001, sender: '10.7.1.1', target: SHARED }),
  ];
  for (let round = 0; round < ROUNDS; round++) {
    const frame = frames[random(frames.length)].slice();
    for (let n = 1 + random(4); n > 0; n--) frame[random(frame.length)] = random(256);
    const cut = random(4) === 0 ? frame.subarray(0, random(frame.length)) : frame;
    for (const { group } of gateways) group.receive(cut, segment.now);
  }
  // Whatever some of them took for true, they agree again, and nobody serves what another serves.
  segment.run(segment.now + 60);
  expect(segment.masters).toEqual([1]);
  expect(JSON.stringify(segment.held)).toBe(before);
});

test('many senders with many addresses: the list of gateways is bounded, and so is what is remembered of each', () => {
  const segment = new Segment();
  const own = segment.add({ priority: 250 });
  segment.run(30);
  const other = new Segment();
  for (let n = 1; n <= 200; n++) {
    const sender = other.add({ priority: 1 + (n % 100) }, n);
    sender.group.tick(0);
    other.take(sender);
    for (const frame of sender.sent) own.group.receive(frame, segment.now);
  }
  expect(own.group.members(segment.now).length).toBeLessThanOrEqual(65);
  expect(own.group.counters().glbpTooManyGateways).toBeGreaterThan(0);
  expect(own.row.master).toBe(true);
});
