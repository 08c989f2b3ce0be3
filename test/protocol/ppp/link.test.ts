import { describe, expect, test } from 'vitest';
import type { PppEvent } from '../../../src/protocol/ppp/events.js';
import { PppLink } from '../../../src/protocol/ppp/link.js';
import { AUTH_METHODS } from '../../../src/protocol/ppp/options.js';
import { ASSIGNMENT, clientOptions, options, Pair } from './pair.js';

const V4V6 = { ipv4: true, ipv6: true };
const CLEAN = { seed: 1 };
const find = (events: PppEvent[], type: string): PppEvent | undefined => events.find((event) => event.type === type);

function opened(more = {}): Pair {
  const server = options({ authenticate: ['chap-md5'], protocols: V4V6, ...more });
  return new Pair({ server, client: clientOptions({ protocols: V4V6 }), path: CLEAN }).start().run(100);
}

describe('two links', () => {
  test.each(AUTH_METHODS)('open with %s: addresses, DNS and interface ids are agreed on', (method) => {
    const pair = opened({ authenticate: [method] });
    expect(pair.types('server')).toEqual([
      'link-up',
      'authenticate',
      'up',
      'network-request',
      'network-up',
      'network-up',
    ]);
    expect(pair.types('client')).toEqual(['link-up', 'up', 'network-up', 'network-up']);
    const ups = pair.events.client.filter((event) => event.type === 'network-up');
    const { local, peer, dns } = ASSIGNMENT.ipv4 ?? {};
    expect(ups).toContainEqual({ type: 'network-up', protocol: 'ipv4', local: peer, peer: local, dns });
    const ids = ups.find(({ protocol }) => protocol === 'ipv6');
    expect(find(pair.events.server, 'up')).toMatchObject({ method, name: 'alice' });
    expect(pair.events.server).toContainEqual({ ...ids, local: ids?.peer, peer: ids?.local });
    expect(pair.now).toBeLessThan(1);
  });

  test.each(AUTH_METHODS)('a wrong password by %s ends the link at both sides', (method) => {
    const pair = new Pair({
      server: options({ authenticate: [method] }),
      client: clientOptions({ credentials: { name: 'alice', password: 'wrong', methods: AUTH_METHODS } }),
      path: CLEAN,
    });
    pair.start().run();
    expect(pair.events.server.at(-1)).toEqual({ type: 'down', by: 'us', reason: 'authentication-failed' });
    expect(pair.types('client').at(-1)).toBe('down');
    expect(pair.types('client')).not.toContain('up');
    expect(pair.server.counters.authenticationFailures).toBe(1);
  });

  test('a server that does not know the password cannot pass MS-CHAPv2', () => {
    const pair = new Pair({
      server: options({ authenticate: ['ms-chap-v2'] }),
      client: clientOptions(),
      path: CLEAN,
      judge: () => ({ ok: true, message: `S=${'0'.repeat(40)}` }),
    });
    pair.start().run();
    expect(pair.events.client.at(-1)).toEqual({ type: 'down', by: 'us', reason: 'authenticator-wrong' });
  });

  test('methods: the best that both have', () => {
    const pair = new Pair({
      server: options({ authenticate: ['ms-chap-v2', 'chap-md5', 'pap'] }),
      client: clientOptions({ credentials: { name: 'alice', password: 's3cret', methods: ['pap'] } }),
      path: CLEAN,
    });
    pair.start().run();
    expect(find(pair.events.server, 'up')).toMatchObject({ method: 'pap' });
  });

  test('no method in common, or no credentials at all: refused', () => {
    for (const credentials of [undefined, { name: 'alice', password: 's3cret', methods: ['pap'] as const }]) {
      const pair = new Pair({
        server: options({ authenticate: ['chap-md5'] }),
        client: { ...clientOptions(), credentials },
        path: CLEAN,
      });
      pair.start().run();
      expect(pair.events.server.at(-1)).toEqual({ type: 'down', by: 'us', reason: 'authentication-refused' });
    }
  });

  test('terminate: both sides hear of it once, and only Terminate-Acks follow', () => {
    const pair = opened();
    pair.client.terminate(pair.now);
    pair.run();
    expect(pair.events.client.at(-1)).toEqual({ type: 'down', by: 'us', reason: 'terminated' });
    expect(pair.events.server.at(-1)).toEqual({ type: 'down', by: 'peer', reason: 'terminated' });
    expect(pair.server.phase).toBe('ended');
    expect(pair.server.nextTime).toBe(Number.POSITIVE_INFINITY);
  });

  test('echo finds that the peer is gone', () => {
    const pair = opened({ echo: { every: 10, failures: 3 } });
    expect(pair.types('server')).not.toContain('down');
    pair.connected = false;
    pair.run(1000);
    expect(pair.events.server.at(-1)).toEqual({ type: 'down', by: 'us', reason: 'echo-lost' });
    expect(pair.now).toBeLessThan(150);
  });

  test('a link back to itself is found out', () => {
    const link = new PppLink(options({}));
    link.start(0);
    for (let now = 0; now < 100 && link.phase !== 'ended'; now++) {
      for (const frame of link.output(now)) link.receive(frame, now);
    }
    expect(link.events().at(-1)).toMatchObject({ type: 'down', reason: 'loopback' });
  });

  test('nobody there: ten requests, then the end', () => {
    const pair = new Pair({ server: options({}), client: clientOptions(), path: { seed: 1, loss: 1 } });
    pair.start().run();
    expect(pair.events.server).toEqual([{ type: 'down', by: 'peer', reason: 'no-answer' }]);
    expect(pair.wire.filter(({ from }) => from === 'server')).toHaveLength(10);
  });
});

describe('hand-over', () => {
  test('a restored link says nothing, carries on, and answers what the old one would', () => {
    const pair = opened();
    const snapshot = structuredClone(pair.server.snapshot());
    const heir = PppLink.restore(snapshot, options({ authenticate: ['chap-md5'], protocols: V4V6 }, 99), pair.now);
    expect(heir.phase).toBe('network');
    expect(heir.output(pair.now)).toEqual([]);
    expect(heir.nextTime).toBe(Number.POSITIVE_INFINITY);
    expect(heir.snapshot()).toEqual(snapshot);
    expect(heir.receive(Uint8Array.of(0xff, 3, 0, 0x21, 0x45), pair.now)).toBe('ipv4');
    expect(heir.receive(Uint8Array.of(0x57, 0x60), pair.now)).toBe('ipv6');
    pair.client.terminate(pair.now);
    for (const frame of pair.client.output(pair.now)) heir.receive(frame, pair.now);
    expect(heir.events().at(-1)).toEqual({ type: 'down', by: 'peer', reason: 'terminated' });
  });

  test.each(['pap', 'chap-md5'] as const)(
    'a LAC that has begun with %s: the LNS goes on, the client notices nothing',
    (method) => {
      const lac = new Pair({
        server: options({ authenticate: [method], network: 'none' }),
        client: clientOptions(),
        path: CLEAN,
      });
      lac.start().run(0.5);
      expect(lac.types('server')).toEqual(['link-up', 'proxy-ready']);
      expect(lac.server.nextTime).toBe(Number.POSITIVE_INFINITY);
      const proxy = structuredClone(lac.server.proxy());
      const lns = new PppLink(options({ authenticate: ['chap-md5', 'pap'] }, 7));
      expect(lns.startFromProxy(proxy, 0)).toBe(true);
      expect(lns.events().map(({ type }) => type)).toEqual(['link-up', 'authenticate']);
      expect(lns.output(0)).toEqual([]);
      lns.authenticated({ ok: true }, 0);
      lns.assign(ASSIGNMENT, 0);
      for (let turn = 0; turn < 20; turn++) {
        for (const frame of lns.output(0)) lac.client.receive(frame, lac.now);
        for (const frame of lac.client.output(lac.now)) lns.receive(frame, 0);
      }
      expect(lns.events().map(({ type }) => type)).toEqual(['up', 'network-request', 'network-up']);
      expect(lac.client.events().map(({ type }) => type)).toEqual(['up', 'network-up']);
    },
  );

  test('a LAC with MS-CHAPv2: LCP is kept, the LNS challenges again', () => {
    const lac = new Pair({
      server: options({ authenticate: ['ms-chap-v2'], network: 'none' }),
      client: clientOptions(),
      path: CLEAN,
    });
    lac.start().run(0.5);
    expect(lac.events.server.at(-1)).toEqual({ type: 'proxy-ready', method: 'ms-chap-v2', name: 'alice' });
    const lns = new PppLink(options({ authenticate: ['ms-chap-v2'] }, 7));
    expect(lns.startFromProxy(lac.server.proxy(), 0)).toBe(true);
    const [challenge] = lns.output(0);
    lac.client.receive(challenge, lac.now);
    const [response] = lac.client.output(lac.now);
    lns.receive(response, 0);
    expect(lns.events().map(({ type }) => type)).toEqual(['link-up', 'authenticate']);
  });

  test('a LAC that has agreed to less than we demand: LCP begins anew, and still it opens', () => {
    const lac = new Pair({ server: options({ network: 'none' }), client: clientOptions(), path: CLEAN });
    lac.start().run(0.5);
    const proxy = lac.server.proxy();
    const lns = new PppLink(options({ authenticate: ['chap-md5'] }, 7));
    expect(lns.startFromProxy(proxy, 0)).toBe(false);
    for (let turn = 0; turn < 20; turn++) {
      for (const frame of lns.output(0)) lac.client.receive(frame, lac.now);
      for (const frame of lac.client.output(lac.now)) lns.receive(frame, 0);
    }
    expect(lns.events().map(({ type }) => type)).toEqual(['link-up', 'authenticate']);
  });
});
