/** The access concentrator against clients of every kind: good, repeating, forging, flooding. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PppoeAccess, type PppoeOptions, type PppoePort } from '../../../src/protocol/pppoe/access.js';
import type { PppoeSession } from '../../../src/protocol/pppoe/session.js';
import {
  buildDiscovery,
  buildSession,
  PADI,
  PADO,
  PADR,
  PADS,
  PADT,
  type PppoePacket,
  type PppoeTag,
  readPppoe,
  readTags,
  TAG_AC_COOKIE,
  TAG_AC_NAME,
  TAG_AC_SYSTEM_ERROR,
  TAG_GENERIC_ERROR,
  TAG_HOST_UNIQ,
  TAG_PPP_MAX_PAYLOAD,
  TAG_RELAY_SESSION_ID,
  TAG_SERVICE_NAME,
  TAG_SERVICE_NAME_ERROR,
} from '../../../src/wire/pppoe.js';
import { FUZZ_RUNS } from '../../helpers/fuzz.js';

const PORT: PppoePort = { index: 3, name: 'eth1', mac: Uint8Array.of(2, 0, 0, 0, 0, 0xac), mtu: 1500 };
const BROADCAST = new Uint8Array(6).fill(0xff);
const OPTIONS: PppoeOptions = {
  acName: 'lac1',
  services: ['internet', 'voice'],
  anyService: false,
  key: new Uint8Array(32).fill(7),
  sessionLimit: 100,
  perClient: 2,
  clientRate: { rate: 10, burst: 20 },
  portRate: { rate: 1000, burst: 1000 },
};
const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const tag = (type: number, value: Uint8Array | string = ''): PppoeTag => ({
  type,
  value: typeof value === 'string' ? text(value) : value,
});
const macOf = (number: number): Uint8Array => Uint8Array.of(2, 0, 0, number >> 16, (number >> 8) & 0xff, number & 0xff);

class Scene {
  readonly access: PppoeAccess;
  readonly heard: [PppoeSession, Uint8Array][] = [];
  now = 1000;

  constructor(options: Partial<PppoeOptions> = {}) {
    this.access = new PppoeAccess({ ...OPTIONS, ...options });
  }

  give(frame: Uint8Array, port = PORT): string {
    return this.access.receive(frame, port, this.now, (session, bytes) => this.heard.push([session, bytes.slice()]));
  }

  discovery(code: number, tags: PppoeTag[], source = macOf(1), session = 0, port = PORT): string {
    const destination = code === PADI ? BROADCAST : port.mac;
    return this.give(buildDiscovery({ destination, source, code, session, tags }), port);
  }

  /** The one answer, its tags by type. */
  answer(): { packet: PppoePacket; tags: PppoeTag[]; of(type: number): Uint8Array | undefined } {
    const frames = this.access.output();
    expect(frames).toHaveLength(1);
    const packet = readPppoe(frames[0].bytes) as PppoePacket;
    const tags = readTags(packet.payload) as PppoeTag[];
    return { packet, tags, of: (type) => tags.find((one) => one.type === type)?.value };
  }

  cookie(source = macOf(1), port = PORT): PppoeTag {
    expect(this.discovery(PADI, [tag(TAG_SERVICE_NAME)], source, 0, port)).not.toBe('malformed');
    return tag(TAG_AC_COOKIE, this.answer().of(TAG_AC_COOKIE) as Uint8Array);
  }

  open(source = macOf(1), extra: PppoeTag[] = [], service = 'internet'): PppoeSession {
    expect(this.discovery(PADR, [tag(TAG_SERVICE_NAME, service), this.cookie(source), ...extra], source)).toBe('padr');
    const { packet } = this.answer();
    expect(packet.code).toBe(PADS);
    const [event] = this.access.events();
    expect(event).toMatchObject({ type: 'opened', session: { id: packet.session } });
    return event.session;
  }
}

describe('discovery', () => {
  test('PADI, PADO, PADR, PADS: names, cookie, and what is echoed', () => {
    const scene = new Scene();
    const echoed = [tag(TAG_HOST_UNIQ, 'mine'), tag(TAG_RELAY_SESSION_ID, 'relay')];
    expect(scene.discovery(PADI, [tag(TAG_SERVICE_NAME, 'voice'), ...echoed])).toBe('padi');
    const pado = scene.answer();
    expect(pado.packet).toMatchObject({ code: PADO, session: 0, source: PORT.mac, destination: macOf(1) });
    expect(pado.of(TAG_AC_NAME)).toEqual(text('lac1'));
    expect(pado.tags.filter(({ type }) => type === TAG_SERVICE_NAME).map(({ value }) => value)).toEqual([
      text('internet'),
      text('voice'),
    ]);
    for (const { type, value } of echoed) expect(pado.of(type)).toEqual(value);
    const cookie = tag(TAG_AC_COOKIE, pado.of(TAG_AC_COOKIE) as Uint8Array);
    expect(scene.access.sessions.size).toBe(0);
    expect(scene.discovery(PADR, [tag(TAG_SERVICE_NAME, 'voice'), cookie, ...echoed])).toBe('padr');
    const pads = scene.answer();
    expect(pads.packet.code).toBe(PADS);
    expect(pads.packet.session).toBeGreaterThan(0);
    for (const { type, value } of echoed) expect(pads.of(type)).toEqual(value);
    expect(pads.of(TAG_SERVICE_NAME)).toEqual(text('voice'));
    expect(scene.access.sessions.get(pads.packet.session)).toMatchObject({ service: 'voice', maxPayload: 1492 });
  });

  test('a PADI for a service that is not on offer is not answered; with anyService every name is', () => {
    const closed = new Scene();
    expect(closed.discovery(PADI, [tag(TAG_SERVICE_NAME, 'games')])).toBe('unknown-service');
    expect(closed.access.output()).toEqual([]);
    const open = new Scene({ anyService: true });
    expect(open.discovery(PADI, [tag(TAG_SERVICE_NAME, 'games')])).toBe('padi');
    expect(open.answer().of(TAG_SERVICE_NAME)).toEqual(text('games'));
    expect(open.open(macOf(2), [], 'games').service).toBe('games');
  });

  test('a PADR for a service that is not on offer gets an error and no session', () => {
    const scene = new Scene();
    expect(scene.discovery(PADR, [tag(TAG_SERVICE_NAME, 'games'), scene.cookie()])).toBe('unknown-service');
    const pads = scene.answer();
    expect(pads.packet).toMatchObject({ code: PADS, session: 0 });
    expect(pads.of(TAG_SERVICE_NAME_ERROR)).toBeDefined();
    expect(scene.access.sessions.size).toBe(0);
  });

  test('who asks for any service gets one, although names are on offer', () => {
    const scene = new Scene();
    expect(scene.open(macOf(1), [], '').service).toBe('');
  });

  test('a repeated PADR gets the same session until the session speaks', () => {
    const scene = new Scene();
    const request = [tag(TAG_SERVICE_NAME, 'voice'), scene.cookie(), tag(TAG_HOST_UNIQ, '1')];
    expect(scene.discovery(PADR, request)).toBe('padr');
    const { session } = scene.answer().packet;
    expect(scene.discovery(PADR, request)).toBe('padr-repeated');
    expect(scene.answer().packet.session).toBe(session);
    expect(scene.access.sessions.size).toBe(1);
    expect(scene.give(buildSession(PORT.mac, macOf(1), session, Uint8Array.of(0xc0, 0x21, 1, 1, 0, 4)))).toBe(
      'session',
    );
    expect(scene.heard.map(([, bytes]) => [...bytes])).toEqual([[0xc0, 0x21, 1, 1, 0, 4]]);
    expect(scene.discovery(PADR, request)).toBe('padr');
    expect(scene.answer().packet.session).not.toBe(session);
  });

  test('cookies are of one client, one interface and one minute', () => {
    const scene = new Scene();
    const cookie = scene.cookie(macOf(1));
    const request = [tag(TAG_SERVICE_NAME), cookie];
    const any = new Scene({ services: [''] });
    any.now += 25;
    expect(any.discovery(PADR, request, macOf(2))).toBe('bad-cookie');
    expect(any.discovery(PADR, request, macOf(1), 0, { ...PORT, index: 4 })).toBe('bad-cookie');
    expect(any.discovery(PADR, [tag(TAG_SERVICE_NAME)], macOf(1))).toBe('bad-cookie');
    expect(any.discovery(PADR, request, macOf(1))).toBe('padr');
    expect(any.access.output()).toHaveLength(1);
    any.now += 65;
    expect(any.discovery(PADR, [...request, tag(TAG_HOST_UNIQ, 'later')], macOf(1))).toBe('bad-cookie');
  });

  test('PPP-Max-Payload is agreed on where the interface carries it (RFC 4638)', () => {
    const wide = { ...PORT, mtu: 1508 };
    const scene = new Scene();
    const wish = tag(TAG_PPP_MAX_PAYLOAD, Uint8Array.of(0x05, 0xdc));
    const cookie = scene.cookie(macOf(1), wide);
    expect(scene.discovery(PADR, [tag(TAG_SERVICE_NAME, 'voice'), cookie, wish], macOf(1), 0, wide)).toBe('padr');
    const pads = scene.answer();
    expect(pads.of(TAG_PPP_MAX_PAYLOAD)).toEqual(Uint8Array.of(0x05, 0xdc));
    expect(scene.access.sessions.get(pads.packet.session)?.maxPayload).toBe(1500);
    expect(scene.discovery(PADI, [tag(TAG_SERVICE_NAME), wish], macOf(2))).toBe('padi');
    expect(scene.answer().of(TAG_PPP_MAX_PAYLOAD)).toBeUndefined();
  });

  test.each([
    ['source-group', (s: Scene) => s.discovery(PADI, [tag(TAG_SERVICE_NAME)], Uint8Array.of(3, 0, 0, 0, 0, 1))],
    ['no-service-tag', (s: Scene) => s.discovery(PADI, [])],
    ['session-id', (s: Scene) => s.discovery(PADI, [tag(TAG_SERVICE_NAME)], macOf(1), 5)],
    ['unexpected-code', (s: Scene) => s.discovery(PADO, [tag(TAG_SERVICE_NAME)])],
    ['unknown-session', (s: Scene) => s.discovery(PADT, [], macOf(1), 5)],
    [
      'not-for-us',
      (s: Scene) =>
        s.give(buildDiscovery({ destination: macOf(9), source: macOf(1), code: PADR, session: 0, tags: [] })),
    ],
    ['malformed', (s: Scene) => s.give(new Uint8Array(12))],
  ])('%s is dropped and counted', (outcome, act) => {
    const scene = new Scene();
    expect(act(scene)).toBe(outcome);
    expect(scene.access.counters.get(outcome as never)).toBe(1);
    expect(scene.access.output()).toEqual([]);
    expect(scene.access.events()).toEqual([]);
  });
});

describe('sessions', () => {
  test('the client ends one: only the one that has it', () => {
    const scene = new Scene();
    const session = scene.open();
    expect(scene.discovery(PADT, [], macOf(2), session.id)).toBe('unknown-session');
    expect(scene.discovery(PADT, [tag(TAG_GENERIC_ERROR, 'bye')], macOf(1), session.id)).toBe('padt');
    expect(scene.access.events()).toEqual([{ type: 'closed', session, message: 'bye' }]);
    expect(scene.access.sessions.size).toBe(0);
    scene.access.send(session, [Uint8Array.of(1)]);
    scene.access.end(session, null);
    expect(scene.access.output()).toEqual([]);
  });

  test('we end one: a PADT says why, and carries the relay’s id', () => {
    const scene = new Scene();
    const session = scene.open(macOf(1), [tag(TAG_RELAY_SESSION_ID, 'r')]);
    scene.access.end(session, 'no server');
    const padt = scene.answer();
    expect(padt.packet).toMatchObject({ code: PADT, session: session.id });
    expect(padt.of(TAG_GENERIC_ERROR)).toEqual(text('no server'));
    expect(padt.of(TAG_RELAY_SESSION_ID)).toEqual(text('r'));
    expect(scene.access.events()).toEqual([]);
  });

  test('data of a session that does not exist is answered with a PADT, now and then', () => {
    const scene = new Scene();
    const frame = buildSession(PORT.mac, macOf(1), 77, Uint8Array.of(0xc0, 0x21));
    for (let i = 0; i < 50; i++) expect(scene.give(frame)).toBe('unknown-session');
    const frames = scene.access.output();
    expect(frames).toHaveLength(4);
    expect(readPppoe(frames[0].bytes)).toMatchObject({ code: PADT, session: 77 });
    expect(scene.heard).toEqual([]);
  });

  test('limits of a client and of all are told in the PADS', () => {
    const scene = new Scene({ sessionLimit: 3 });
    scene.open(macOf(1), [tag(TAG_HOST_UNIQ, 'a')]);
    scene.open(macOf(1), [tag(TAG_HOST_UNIQ, 'b')]);
    const third = [tag(TAG_SERVICE_NAME, 'voice'), scene.cookie(), tag(TAG_HOST_UNIQ, 'c')];
    expect(scene.discovery(PADR, third)).toBe('client-limit');
    expect(scene.answer().of(TAG_AC_SYSTEM_ERROR)).toBeDefined();
    const late = [tag(TAG_SERVICE_NAME, 'voice'), scene.cookie(macOf(3))];
    const last = scene.open(macOf(2));
    expect(scene.discovery(PADR, late, macOf(3))).toBe('session-limit');
    expect(scene.answer().packet.session).toBe(0);
    expect(scene.discovery(PADI, [tag(TAG_SERVICE_NAME)], macOf(4))).toBe('session-limit');
    expect(scene.access.output()).toEqual([]);
    scene.access.end(last, null);
    scene.access.output();
    expect(scene.open(macOf(3)).id).not.toBe(last.id);
  });

  test('ids go round and skip those in use', () => {
    const scene = new Scene({ clientRate: { rate: 1e9, burst: 1e9 }, portRate: { rate: 1e9, burst: 1e9 } });
    const kept = scene.open(macOf(1));
    const cookie = scene.cookie(macOf(2));
    const seen = new Set<number>();
    for (let i = 0; i < 65_600; i++) {
      scene.discovery(PADR, [tag(TAG_SERVICE_NAME, 'voice'), cookie], macOf(2));
      const [event] = scene.access.events();
      seen.add(event.session.id);
      scene.access.end(event.session, null);
      scene.access.output();
    }
    expect(seen.size).toBe(0xfffd);
    expect(seen.has(kept.id) || seen.has(0) || seen.has(0xffff)).toBe(false);
  });
});

describe('floods', () => {
  test('of one client and of many: answers are limited, nothing is kept', () => {
    const one = new Scene();
    for (let i = 0; i < 1000; i++) one.discovery(PADI, [tag(TAG_SERVICE_NAME)]);
    expect(one.access.output()).toHaveLength(20);
    expect(one.access.counters.get('client-rate')).toBe(980);
    const many = new Scene({ portRate: { rate: 100, burst: 150 } });
    for (let i = 0; i < 5000; i++) many.discovery(PADI, [tag(TAG_SERVICE_NAME)], macOf(i + 1));
    expect(many.access.output()).toHaveLength(150);
    expect(many.access.counters.get('port-rate')).toBe(4850);
    expect(many.access.sessions.size).toBe(0);
  });

  test('PADR with forged cookies make no session', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 0, maxLength: 40 }), (cookie) => {
        const scene = new Scene();
        expect(scene.discovery(PADR, [tag(TAG_SERVICE_NAME, 'voice'), tag(TAG_AC_COOKIE, cookie)])).toBe('bad-cookie');
        expect(scene.access.sessions.size).toBe(0);
      }),
      { numRuns: Math.min(FUZZ_RUNS, 300) },
    );
  });

  test('no bytes make it fail, and whatever it says can be read', () => {
    const scene = new Scene({ clientRate: { rate: 1e9, burst: 1e9 }, portRate: { rate: 1e9, burst: 1e9 } });
    fc.assert(
      fc.property(
        fc.constantFrom(PADI, PADO, PADR, PADS, PADT, 0, 0x42),
        fc.constantFrom(0x63, 0x64),
        fc.integer({ min: 0, max: 3 }),
        fc.uint8Array({ maxLength: 80 }),
        (code, type, session, payload) => {
          const head = [0x11, code, 0, session, 0, payload.length];
          scene.give(Uint8Array.of(...PORT.mac, ...macOf(1), 0x88, type, ...head, ...payload));
          for (const { bytes } of scene.access.output()) expect(typeof readPppoe(bytes)).toBe('object');
        },
      ),
      { numRuns: FUZZ_RUNS },
    );
  });
});
