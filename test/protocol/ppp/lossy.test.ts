/** Thousands of dialogues over a path that loses, repeats and reorders; the seed of a failing one is in its message. */
import { describe, expect, test } from 'vitest';
import type { LcpValues } from '../../../src/protocol/ppp/events.js';
import { AUTH_METHODS, type AuthMethod } from '../../../src/protocol/ppp/options.js';
import { PppLink } from '../../../src/protocol/ppp/link.js';
import { randomOf } from '../../helpers/seeded-random.js';
import { ASSIGNMENT, bytesOf, clientOptions, options, Pair } from './pair.js';

const V4V6 = { ipv4: true, ipv6: true };
const ECHO = { every: 10, failures: 6 };
const DIALOGUES = 2000;
/** Long after the last timer of a set-up. */
const SETTLED = 300;

function dialogue(seed: number): Pair {
  const choice = randomOf(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(choice() * list.length)];
  const methods: AuthMethod[] = choice() < 0.1 ? [] : [pick(AUTH_METHODS), pick(AUTH_METHODS)];
  const lcp = {
    mru: pick([1400, 1500, 1460]),
    accm: pick([null, 0]),
    offerPfc: choice() < 0.5,
    acceptAcfc: choice() < 0.5,
  };
  const server = options({ authenticate: methods, protocols: V4V6, lcp, echo: ECHO }, seed + 1);
  const wanted = { ipv4: true, ipv6: choice() < 0.5 };
  const client = clientOptions({ protocols: wanted, echo: ECHO, lcp: { offerAcfc: choice() < 0.5 } }, seed + 2);
  const path = { seed: seed + 3, loss: choice() * 0.3, repeat: choice() * 0.3, delay: choice() * 2 };
  return new Pair({ server, client, path }).start().run(SETTLED);
}

describe('lossy, repeating, reordering paths', () => {
  test(`${DIALOGUES} dialogues: both ends agree, or both have ended`, () => {
    const ends = { up: 0, down: 0 };
    for (let seed = 1; seed <= DIALOGUES; seed++) {
      const pair = dialogue(seed * 1000);
      const [server, client] = [pair.server.snapshot(), pair.client.snapshot()];
      const story = `seed ${seed * 1000}: ${pair.types('server').join()} / ${pair.types('client').join()}`;
      const up = server.phase === 'network' && server.ipv4?.open === true;
      ends[up ? 'up' : 'down']++;
      if (!up) {
        expect([server.phase, client.phase], story).toEqual(['ended', 'ended']);
        continue;
      }
      expect([client.phase, client.ipv4?.open], story).toEqual(['network', true]);
      expect(client.ipv4?.local, story).toEqual(ASSIGNMENT.ipv4?.peer);
      // A request that the path has kept back may be the last that is heard: then an older magic number is known.
      const agreed = ({ magic: _, ...rest }: LcpValues): object => rest;
      expect(agreed(server.lcp.local), story).toEqual(agreed(client.lcp.peer));
      expect(agreed(server.lcp.peer), story).toEqual(agreed(client.lcp.local));
      expect(client.ipv6?.local, story).toEqual(client.ipv6 === null ? undefined : server.ipv6?.peer);
    }
    // Ten tries against a loss of a third at most: hardly any fails.
    expect(ends.up).toBeGreaterThan(DIALOGUES * 0.99);
  });

  test('the same seed tells the same story', () => {
    expect(dialogue(77_000).wire).toEqual(dialogue(77_000).wire);
  });
});

describe('malformed frames', () => {
  test('noise, and frames with a few bytes changed, hurt nobody and are counted', () => {
    const valid = dialogue(5000).wire.map(({ frame }) => frame);
    const throwDice = randomOf(4711);
    const random = bytesOf(throwDice);
    const pair = new Pair({
      server: options({ authenticate: ['ms-chap-v2'], protocols: V4V6 }),
      client: clientOptions(),
      path: { seed: 3 },
    });
    pair.start();
    const link = pair.server;
    let received = 0;
    for (let count = 0; count < 30_000; count++) {
      const frame =
        throwDice() < 0.2
          ? random(Math.floor(throwDice() * 40))
          : valid[Math.floor(throwDice() * valid.length)].slice();
      const changes = Math.floor(throwDice() * 3);
      for (let change = 0; change < changes && frame.length > 0; change++) {
        frame[Math.floor(throwDice() * frame.length)] = Math.floor(throwDice() * 256);
      }
      const cut = throwDice() < 0.1 ? frame.subarray(0, Math.floor(throwDice() * frame.length)) : frame;
      link.receive(cut, count / 100);
      received++;
      for (const event of link.events()) {
        if (event.type === 'authenticate') link.authenticated({ ok: throwDice() < 0.9, message: 'S=' }, count / 100);
        if (event.type === 'network-request') link.assign(ASSIGNMENT, count / 100);
      }
      expect(link.output(count / 100).length).toBeLessThan(20);
    }
    expect(link.counters.framesIn).toBe(received);
    expect(link.counters.discards.reduce((sum, value) => sum + value, 0)).toBeGreaterThan(1000);
  });

  test.each([
    ['truncated', [0xff, 3, 0xc0, 0x21, 1, 1, 0, 9]],
    ['malformed-option', [0xff, 3, 0xc0, 0x21, 1, 1, 0, 6, 1, 9]],
    ['unexpected', [0xff, 3, 0x00, 0x21, 0x45]],
    ['stale-id', [0xff, 3, 0xc0, 0x21, 2, 99, 0, 4]],
    ['unknown-code', [0xff, 3, 0xc0, 0x21, 99, 1, 0, 4]],
  ] as const)('%s', (reason, frame) => {
    const link = new PppLink(options({}));
    link.start(0);
    link.receive(Uint8Array.from(frame), 0);
    expect(link.counters.of(reason)).toBe(1);
  });

  test('a protocol that nobody speaks is refused, with its number', () => {
    const pair = new Pair({ server: options({}), client: clientOptions(), path: { seed: 1 } }).start().run(1);
    pair.server.receive(Uint8Array.of(0x80, 0xfd, 1, 1, 0, 4), 1);
    expect([...pair.server.output(1)[0].subarray(2, 12)].filter((_, at) => at < 3 || at > 5)).toEqual([
      0xc0, 0x21, 8, 0x80, 0xfd, 1, 1,
    ]);
    expect(pair.server.snapshot().ccp).toBe('rejected');
    expect(pair.server.counters.of('unknown-protocol')).toBe(1);
  });
});
