/** Which addresses a designator announces as its own, where, and with whose link-layer address. */
import { expect, test } from 'vitest';
import { PORT_INSIDE, PORT_OUTSIDE } from '../../../src/io/port.js';
import { announcements } from '../../../src/roles/designator/own-frames.js';
import { compiled, withTop } from '../../config/sample.js';

const OUTSIDE = Uint8Array.of(2, 0, 0, 0, 0, 1);
const INSIDE = Uint8Array.of(2, 0, 0, 0, 0, 2);
const vip = (name: string, address: string, server: string, more: object) => ({
  name,
  address,
  servers: [{ name: `of-${name}`, address: server }],
  ...more,
});

test('VIPs and NAT addresses outside, local addresses inside, each once', () => {
  const config = compiled(
    withTop({
      vips: [
        vip('a', '192.0.2.1', '10.0.0.1', { reply: 'nat', natAddress: '192.0.2.9' }),
        vip('b', '192.0.2.2', '10.0.0.2', { reply: 'nat', natAddress: '192.0.2.9' }),
        vip('c', '192.0.2.3', '10.0.0.3', { reply: 'direct', localAddress: '10.0.0.250' }),
      ],
    }),
  );
  // Sender's address of an ARP announcement (RFC 5227 §2.3) and of its frame.
  const told = announcements(config, OUTSIDE, INSIDE).map(({ port, frame }) => [
    port,
    [...frame.subarray(28, 32)].join('.'),
    frame[11],
  ]);
  expect(told).toEqual([
    [PORT_OUTSIDE, '192.0.2.1', 1],
    [PORT_OUTSIDE, '192.0.2.9', 1],
    [PORT_OUTSIDE, '192.0.2.2', 1],
    [PORT_OUTSIDE, '192.0.2.3', 1],
    [PORT_INSIDE, '10.0.0.250', 2],
  ]);
});
