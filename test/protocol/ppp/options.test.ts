/** What each option is worth: packets by hand against one link. */
import { describe, expect, test } from 'vitest';
import { PppLink } from '../../../src/protocol/ppp/link.js';
import type { PppOptions } from '../../../src/protocol/ppp/options.js';
import { buildPppControl, PPP_PROTOCOL } from '../../../src/wire/ppp.js';
import { ASSIGNMENT, clientOptions, options, Pair } from './pair.js';

const { lcp: LCP, ipcp: IPCP, ipv6cp: IPV6CP } = PPP_PROTOCOL;
const NAMES: Readonly<Record<number, string>> = { 1: 'request', 2: 'ack', 3: 'nak', 4: 'reject', 8: 'protocol-reject' };

/** A link and somebody who writes packets by hand. */
class Hand {
  readonly link: PppLink;
  constructor(more: Partial<PppOptions>) {
    this.link = new PppLink(options(more));
    this.link.start(0);
    this.sent();
  }

  /** What the link has to say of one protocol: `ack 1 4 5 220`. */
  sent(protocol: number = LCP): string[] {
    return this.link
      .output(0)
      .filter((frame) => ((frame[2] << 8) | frame[3]) === protocol)
      .map((frame) => [NAMES[frame[4]] ?? frame[4], ...frame.subarray(8)].join(' '));
  }

  ask(protocol: number, ...body: number[]): string[] {
    this.link.receive(buildPppControl(protocol, 1, 7, Uint8Array.from(body)), 0);
    return this.sent(protocol);
  }

  /** Lets LCP open and the network begin. */
  network(assignment = ASSIGNMENT): this {
    const { length } = this.link.snapshot().lcp.lastSent;
    const request = this.link.snapshot();
    expect(length).toBeGreaterThan(0);
    this.link.receive(buildPppControl(LCP, 1, 7, new Uint8Array(0)), 0);
    this.link.receive(buildPppControl(LCP, 2, request.lcp.nextId - 1, request.lcp.lastSent), 0);
    this.link.assign(assignment, 0);
    this.link.events();
    return this;
  }
}

describe('LCP', () => {
  test.each([
    ['an MRU', [1, 4, 5, 0xdc], 'ack 1 4 5 220'],
    ['an MRU that is too small', [1, 4, 0, 100], 'nak 1 4 0 128'],
    ['an MRU of three bytes', [1, 3, 5], 'reject 1 3 5'],
    ['an ACCM', [2, 6, 0, 0, 0, 0], 'ack 2 6 0 0 0 0'],
    ['quality reports and callback', [4, 4, 0xc0, 0x25, 13, 3, 6], 'reject 4 4 192 37 13 3 6'],
    ['PFC and ACFC', [7, 2, 8, 2], 'ack 7 2 8 2'],
    ['multilink beside something good', [17, 4, 6, 0, 7, 2], 'reject 17 4 6 0'],
    ['authentication of us, who have no credentials', [3, 4, 0xc0, 0x23], 'reject 3 4 192 35'],
    ['nothing', [], 'ack'],
  ])('%s', (_, body, answer) => expect(new Hand({}).ask(LCP, ...body)).toEqual([answer]));

  test('PFC and ACFC may be forbidden', () => {
    const hand = new Hand({ lcp: { acceptPfc: false, acceptAcfc: false } });
    expect(hand.ask(LCP, 7, 2, 8, 2)).toEqual(['reject 7 2 8 2']);
  });

  test('EAP is answered with what we can do', () => {
    const hand = new Hand({ ...clientOptions(), network: 'client' });
    expect(hand.ask(LCP, 3, 4, 0xc2, 0x27)).toEqual(['nak 3 5 194 35 129']);
  });

  test('a peer that goes on asking for too little is refused in the end', () => {
    const hand = new Hand({ timers: { maxFailure: 2 } });
    const answers = [1, 2, 3].map(() => hand.ask(LCP, 1, 4, 0, 1)[0]);
    expect(answers).toEqual(['nak 1 4 0 128', 'nak 1 4 0 128', 'reject 1 4 0 1']);
  });

  test('a hint to another MRU is followed downwards only; rejected options are asked for no more', () => {
    const hand = new Hand({ lcp: { mru: 1400, offerPfc: true } });
    const answer = (code: number, body: number[]): string[] => {
      const { nextId } = hand.link.snapshot().lcp;
      hand.link.receive(buildPppControl(LCP, code, nextId - 1, Uint8Array.from(body)), 0);
      return hand.sent();
    };
    expect(answer(3, [1, 4, 5, 0xdc])[0]).toContain('request 1 4 5 120');
    expect(answer(3, [1, 4, 5, 0])[0]).toContain('request 1 4 5 0');
    expect(answer(4, [7, 2])[0]).not.toContain(' 7 2');
    expect(answer(4, [8, 2])).toEqual([]);
    expect(hand.link.counters.of('wrong-answer')).toBe(1);
  });
});

describe('IPCP of a server', () => {
  test.each([
    ['no address yet', [3, 6, 0, 0, 0, 0], 'nak 3 6 10 0 0 42'],
    ['an address of its own', [3, 6, 1, 2, 3, 4], 'nak 3 6 10 0 0 42'],
    ['the address that it has', [3, 6, 10, 0, 0, 42], 'ack 3 6 10 0 0 42'],
    ['no word of addresses', [], 'nak 3 6 10 0 0 42'],
    ['DNS, of which there is one', [129, 6, 0, 0, 0, 0, 131, 6, 0, 0, 0, 0], 'reject 131 6 0 0 0 0'],
    ['DNS', [3, 6, 10, 0, 0, 42, 129, 6, 0, 0, 0, 0], 'nak 129 6 10 0 0 53'],
    ['header compression', [2, 6, 0, 0x2d, 15, 1], 'reject 2 6 0 45 15 1'],
    ['NetBIOS servers and the old pair of addresses', [130, 6, 0, 0, 0, 0, 1, 10, 0, 0, 0, 0, 0, 0, 0, 0], 'reject'],
  ])('%s', (_, body, answer) => {
    const hand = new Hand({}).network();
    hand.sent(IPCP);
    expect(hand.ask(IPCP, ...body)[0]).toMatch(new RegExp(`^${answer}`));
  });

  test('that it was asked to compress headers, and refused, is part of the state', () => {
    const hand = new Hand({}).network();
    hand.ask(IPCP, 2, 6, 0, 0x2d, 15, 1);
    expect(hand.link.snapshot().ipv4?.vj).toBe('rejected');
  });

  test('another address for an open link is negotiated anew', () => {
    const pair = new Pair({ server: options({}), client: clientOptions(), path: { seed: 1 } }).start().run(1);
    const other = { ipv4: { local: Uint8Array.of(10, 0, 0, 1), peer: Uint8Array.of(10, 0, 0, 99) } };
    pair.server.assign(other, 1);
    pair.run(2);
    expect(pair.types('client').slice(-2)).toEqual(['network-down', 'network-up']);
    expect(pair.client.snapshot().ipv4?.local).toEqual(other.ipv4.peer);
  });

  test('IPv6 is refused where it is not served, and IPv4 goes on', () => {
    const pair = new Pair({
      server: options({}),
      client: clientOptions({ protocols: { ipv4: true, ipv6: true } }),
      path: { seed: 1 },
    });
    pair.start().run(1);
    expect(pair.types('client')).toEqual(['link-up', 'up', 'network-up']);
    expect(pair.client.snapshot().peerRejected).toEqual([IPV6CP]);
  });

  test('a peer that rejects the only network: the link ends', () => {
    const hand = new Hand({}).network();
    hand.link.receive(Uint8Array.of(0xc0, 0x21, 8, 9, 0, 6, 0x80, 0x21), 0);
    expect(hand.link.phase).toBe('terminate');
    hand.link.receive(buildPppControl(LCP, 6, 1, new Uint8Array(0)), 0);
    expect(hand.link.events().at(-1)).toEqual({ type: 'down', by: 'us', reason: 'no-network' });
  });
});

describe('IPv6CP of a server', () => {
  const V6 = { protocols: { ipv4: false, ipv6: true } };
  const zero = [0, 0, 0, 0, 0, 0, 0, 0];

  test('a zero identifier gets a made-up one; one of its own is taken', () => {
    const hand = new Hand(V6).network({ ipv6: {} });
    hand.sent(IPV6CP);
    const [nak] = hand.ask(IPV6CP, 1, 10, ...zero);
    expect(nak).toMatch(/^nak 1 10 /);
    expect(nak).not.toContain(zero.join(' '));
    expect(hand.ask(IPV6CP, 1, 10, 1, 2, 3, 4, 5, 6, 7, 8)).toEqual(['ack 1 10 1 2 3 4 5 6 7 8']);
  });

  test('our own identifier is nobody else’s; a prescribed one is insisted on', () => {
    const localId = Uint8Array.of(9, 9, 9, 9, 9, 9, 9, 9);
    const peerId = Uint8Array.of(8, 8, 8, 8, 8, 8, 8, 8);
    const free = new Hand(V6).network({ ipv6: { localId } });
    free.sent(IPV6CP);
    expect(free.ask(IPV6CP, 1, 10, ...localId)[0]).toMatch(/^nak/);
    const bound = new Hand(V6).network({ ipv6: { localId, peerId } });
    bound.sent(IPV6CP);
    expect(bound.ask(IPV6CP, 1, 10, 1, 2, 3, 4, 5, 6, 7, 8)).toEqual(['nak 1 10 8 8 8 8 8 8 8 8']);
    expect(bound.ask(IPV6CP)).toEqual(['nak 1 10 8 8 8 8 8 8 8 8']);
  });
});

describe('a link that is open', () => {
  const server = options({ authenticate: ['chap-md5'], timers: { challengeAgain: 60 } });

  test('is challenged again, without a fall', () => {
    const pair = new Pair({ server, client: clientOptions(), path: { seed: 1 } }).start().run(200);
    expect(pair.types('server').filter((type) => type === 'authenticate')).toHaveLength(4);
    expect(pair.types('server').filter((type) => type === 'network-up')).toHaveLength(1);
    expect(pair.types('client')).toEqual(['link-up', 'up', 'network-up']);
  });

  test('ends when the user may no longer', () => {
    let asked = 0;
    const judge = (): { ok: boolean } => ({ ok: ++asked < 2 });
    const pair = new Pair({ server, client: clientOptions(), path: { seed: 1 }, judge }).start().run(200);
    expect(pair.events.server.at(-1)).toEqual({ type: 'down', by: 'us', reason: 'authentication-failed' });
  });

  test('falls when the peer begins anew, asks who is there, and comes up with what it is assigned then', () => {
    const pair = new Pair({ server: options({ authenticate: ['pap'] }), client: clientOptions(), path: { seed: 1 } });
    pair.start().run(1);
    const heir = new PppLink(clientOptions({}, 55));
    heir.start(1);
    for (let turn = 0; turn < 30; turn++) {
      for (const frame of heir.output(1)) pair.server.receive(frame, 1);
      for (const event of pair.server.events()) {
        pair.events.server.push(event);
        if (event.type === 'authenticate') pair.server.authenticated({ ok: true }, 1);
        if (event.type === 'network-request') pair.server.assign(ASSIGNMENT, 1);
      }
      for (const frame of pair.server.output(1)) heir.receive(frame, 1);
    }
    expect(pair.types('server').slice(5)).toEqual([
      'network-down',
      'renegotiating',
      'link-up',
      'authenticate',
      'up',
      'network-request',
      'network-up',
    ]);
    expect(heir.snapshot().ipv4?.local).toEqual(ASSIGNMENT.ipv4?.peer);
    expect(pair.server.counters.renegotiations).toBe(1);
  });

  test('without a network for a minute it ends', () => {
    const pair = new Pair({ server: options({}), client: clientOptions(), path: { seed: 1 }, assignment: {} });
    pair.start().run(200);
    expect(pair.events.server.at(-1)).toMatchObject({ type: 'down' });
    expect(pair.now).toBeLessThan(80);
  });
});
