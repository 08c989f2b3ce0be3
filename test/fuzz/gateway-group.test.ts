/** A whole group against nonsense: from strangers, and from a member that has the key and is believed. It never throws, and answers on. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { GatewayGroup } from '../../src/gateway/group.js';
import { macBytes, messagesMac } from '../../src/gateway/mac.js';
import { Seal } from '../../src/gateway/seal.js';
import { GROUP_DEFAULTS } from '../../src/gateway/types.js';
import { type Advert, emitAdvertBody, readAdvertBody } from '../../src/wire/gateway-advert.js';
import { GATEWAY_MESSAGE_TYPES, type GatewayMessageType, readGatewayHeader } from '../../src/wire/gateway-message.js';
import { SHARED } from '../helpers/gateway-farm.js';
import { FUZZ_RUNS } from '../helpers/fuzz.js';
import { arp } from '../helpers/neighbour-frames.js';

const KEY = new Uint8Array(32).fill(7);
const PORT = 0x020000000001;
const PEER_PORT = 0x020000000002;
const ASK = arp({ from: 0x020000100011, sender: '10.7.0.11', target: '10.7.0.254' });

/** An engine that has been master for a while, and a member beside it that it believes. */
class Insider {
  readonly group = new GatewayGroup({
    ...GROUP_DEFAULTS,
    name: 'lan',
    group: 7,
    number: 1,
    priority: 200,
    mac: macBytes(PORT),
    ownAddress: null,
    addresses: [SHARED],
    key: KEY,
    random: (count) => new Uint8Array(count).fill(1),
  });
  readonly seal = new Seal(KEY, 7, 2, new Uint8Array(6).fill(2));
  now = 100;
  #last: Advert | null = null;
  #incarnation = 0;
  #sequence = 0;

  constructor() {
    for (let turn = 0; turn < 20; turn++) {
      this.now += 0.05;
      this.group.tick(this.now);
      this.listen();
      this.say('advert', this.advert({}));
    }
    this.listen();
  }

  /** Takes what the engine sends; returns how many frames of a host's protocol were among it. */
  listen(): number {
    let replies = 0;
    for (const frame of this.group.output().frames) {
      const read = readGatewayHeader(frame);
      if (frame[12] === 0x08 && frame[13] === 0x06) replies++;
      if (typeof read === 'string' || read.header.type !== 'advert') continue;
      this.#last = readAdvertBody(frame.subarray(14 + 24, read.end)) ?? this.#last;
      this.#incarnation = read.header.incarnation;
      this.#sequence = read.header.sequence;
    }
    return replies;
  }

  /** An advert like the engine's own, with changes, that echoes it. */
  advert(changes: Partial<Advert>): Uint8Array {
    const last = this.#last;
    if (last === null) throw new Error('the engine has said nothing');
    const echo = { number: 1, age: 0, incarnation: this.#incarnation, sequence: this.#sequence };
    const own = {
      state: 'backup' as const,
      master: 1,
      mac: PEER_PORT,
      priority: 1,
      forwarders: [],
      recent: new Uint8Array(0),
    };
    return emitAdvertBody({ ...last, ...own, heard: [echo], ...changes });
  }

  say(type: GatewayMessageType, body: Uint8Array): void {
    this.group.receive(this.seal.close(type, 0, body, PEER_PORT, messagesMac(7)), this.now);
  }
}

const body = fc.oneof(
  fc.uint8Array({ maxLength: 120 }),
  fc.uint8Array({ minLength: 8, maxLength: 8 }),
  fc.constant(Uint8Array.of(0, 42, ...ASK.subarray(0, 42))),
  fc.constant(ASK),
);
const byte = fc.integer({ min: 0, max: 255 });
const changes = fc.record(
  {
    state: fc.constantFrom('listen', 'backup', 'master', 'resigned', 'stopped'),
    able: fc.boolean(),
    master: byte,
    priority: byte,
    weight: fc.constantFrom(0, 100, 65_535),
    interval: fc.constantFrom(0.01, 0.1, 60),
    recent: fc.uint8Array({ maxLength: 60 }),
    position: fc.record({
      term: fc.constantFrom(0, 257, 0xffffffff),
      version: fc.constantFrom(0, 1, 0xffffffff),
      digest: fc.constant([1, 2] as const),
      count: fc.constantFrom(0, 5, 0xffffffff),
    }),
    forwarders: fc.array(
      fc.record({
        number: fc.integer({ min: 1, max: 255 }),
        server: byte,
        givenOut: fc.boolean(),
        permanent: fc.boolean(),
        away: fc.constantFrom(0, 1, 65_535),
      }),
      { maxLength: 10 },
    ),
  },
  { requiredKeys: [] },
);
const deed = fc.oneof(
  fc.record({ type: fc.constantFrom(...GATEWAY_MESSAGE_TYPES), body }),
  fc.record({ advert: changes }),
  fc.record({ frame: fc.uint8Array({ maxLength: 100 }) }),
  fc.record({ wait: fc.constantFrom(0, 0.01, 0.1, 0.2) }),
);

describe('nothing that comes in makes a group throw', () => {
  test('whatever a believed member says; when it is quiet again, the engine answers', () => {
    fc.assert(
      fc.property(fc.array(deed, { maxLength: 30 }), (deeds) => {
        const scene = new Insider();
        for (const one of deeds) {
          if ('type' in one) scene.say(one.type, one.body);
          else if ('advert' in one) scene.say('advert', scene.advert(one.advert as Partial<Advert>));
          else if ('frame' in one) scene.group.receive(one.frame, scene.now);
          else {
            scene.now += one.wait;
            scene.group.tick(scene.now);
          }
          scene.listen();
          expect(scene.group.nextTime).toBeGreaterThan(scene.now - 1);
        }
        const quiet = scene.now + 200;
        for (let turns = 0; scene.now < quiet && turns < 10_000; turns++) {
          const next = Math.max(scene.now + 0.001, scene.group.nextTime);
          scene.now = Math.min(quiet, next);
          scene.group.tick(scene.now);
          scene.listen();
        }
        expect(scene.group.status(scene.now).state).toBe('master');
        scene.group.receive(ASK, scene.now);
        expect(scene.listen()).toBe(1);
      }),
      { numRuns: Math.ceil(FUZZ_RUNS / 100) },
    );
  });

  test('whatever strangers send', () => {
    const scene = new Insider();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
        const frame = Uint8Array.from(bytes);
        frame.set([0x88, 0xb5, 0x54, 0x47, 1].slice(0, Math.max(0, frame.length - 12)), Math.min(12, frame.length));
        scene.group.receive(frame, scene.now);
        scene.group.receive(bytes, scene.now);
        expect(scene.group.status(scene.now).state).toBe('master');
      }),
      { numRuns: FUZZ_RUNS },
    );
  });
});
