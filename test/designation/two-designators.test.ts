/** Two designators of one group choose alike: maglev is made of names and weights, not of what came before. */
import { expect, test } from 'vitest';
import { sccrq, udpFrame } from '../helpers/packet-builder.js';
import { Harness, VIP } from '../helpers/shard-harness.js';

const CLIENTS = 1000;
const servers = [1, 2, 3, 4, 5].map((n) => ({ name: `lns${n}`, address: `10.10.1.${n}`, weight: n }));
const clientOf = (n: number): string => `192.128.${20 + (n >> 8)}.${n & 0xff}`;

/** The server that a client's request goes to. */
function designated(h: Harness, n: number): string {
  const request = udpFrame(`${clientOf(n)}:1701`, `${VIP}:1701`, sccrq({ assigned: 1 + (n % 50) }));
  const { sent } = h.send(request);
  expect(sent).toHaveLength(1);
  return sent[0].frame.subarray(30, 34).join('.');
}

test('1,000 clients, asked in another order and after other tunnels, go to the same servers at both', () => {
  const options = { servers, algorithm: 'maglev', connections: 4096 } as const;
  const [a, b] = [new Harness(options), new Harness(options)];
  for (let n = 2000; n < 2200; n++) designated(b, n);
  const atA = Array.from({ length: CLIENTS }, (_, n) => designated(a, n));
  const atB = Array.from({ length: CLIENTS }, (_, n) => designated(b, CLIENTS - 1 - n)).reverse();
  expect(atB).toEqual(atA);
  expect(new Set(atA).size).toBe(servers.length);
});
