/** The simulator itself: switches that learn, links with faults, hosts with a cache like Linux's. */
import { beforeEach, describe, expect, test } from 'vitest';
import { BROADCAST, type Mac, readMac } from '../../src/gateway/mac.js';
import type { AddressWords } from '../../src/wire/address.js';
import { SHARED, SHARED6, words } from './gateway-farm.js';
import { ModelHost } from './gateway-host.js';
import { arpFrame, readNeighbour, replyFrame, requestFrame, sameAddress } from './gateway-neighbours.js';
import { type Port, Segment, type Station } from './gateway-segment.js';

/** Keeps what it gets; answers for `address` with the MAC that it is given. */
class Box implements Station {
  readonly got: { at: number; frame: Uint8Array }[] = [];
  readonly nextTime = Number.POSITIVE_INFINITY;
  answers: { address: AddressWords; mac: Mac } | null = null;
  port: Port;
  constructor(
    readonly segment: Segment,
    readonly mac: Mac,
  ) {
    this.port = segment.attach(this);
  }
  accepts(destination: Mac): boolean {
    return destination === this.mac || destination >= 0x333300000000; // all groups, and broadcast
  }
  receive(frame: Uint8Array, at: number): void {
    this.got.push({ at, frame: frame.slice() });
    const heard = readNeighbour(frame);
    if (this.answers === null || heard?.kind !== 'ask' || !sameAddress(heard.target, this.answers.address)) return;
    this.port.send(replyFrame(this.answers, heard.mac, heard.address));
  }
  tick(): void {}
  say(to: Mac, from = this.mac): void {
    this.port.send(arpFrame({ to, from, operation: 2, senderMac: from, sender: 1, targetMac: to, target: 2 }));
  }
}

const A = 0x020000000001;
const B = 0x020000000002;
const C = 0x020000000003;

describe('the switches', () => {
  let segment: Segment;
  let a: Box;
  let b: Box;
  let c: Box;
  beforeEach(() => {
    segment = new Segment();
    [a, b, c] = [A, B, C].map((mac) => new Box(segment, mac));
  });

  test('broadcast goes everywhere but back', () => {
    a.say(BROADCAST);
    segment.runFor(0.001);
    expect([a, b, c].map(({ got }) => got.length)).toEqual([0, 1, 1]);
    expect(b.got[0].at).toBeCloseTo(40e-6, 9);
  });

  test('an address is learnt from its frames and moves with them', () => {
    expect(segment.route(a.port, B)).toEqual([b.port]);
    c.say(BROADCAST, B);
    segment.runFor(0.001);
    expect(segment.route(a.port, B)).toEqual([c.port]);
    b.say(BROADCAST);
    segment.runFor(0.001);
    expect(segment.route(a.port, B)).toEqual([b.port]);
    expect(segment.macMoves.get(B)).toBe(1);
  });

  test('link down: what was learnt there is forgotten, nothing goes in or out', () => {
    c.say(BROADCAST, B);
    segment.runFor(0.001);
    c.port.setUp(false);
    expect(segment.route(a.port, B)).toEqual([b.port]);
    c.say(BROADCAST);
    a.say(BROADCAST);
    segment.runFor(0.001);
    expect(c.got).toHaveLength(0);
    expect(b.got.filter(({ frame }) => readMac(frame, 6) === C)).toHaveLength(0);
  });

  test('a cut is of one direction', () => {
    segment.cut(a.port, b.port);
    a.say(BROADCAST);
    b.say(BROADCAST);
    segment.runFor(0.001);
    expect([a, b, c].map(({ got }) => got.length)).toEqual([1, 0, 2]);
  });

  test('a partition splits, healing joins, over the trunk as before', () => {
    segment.partition([[a.port], [b.port, c.port]]);
    a.say(BROADCAST);
    b.say(BROADCAST);
    segment.runFor(0.001);
    expect([a, b, c].map(({ got }) => got.length)).toEqual([0, 0, 1]);
    segment.heal();
    a.say(B);
    b.say(A);
    segment.runFor(0.001);
    expect([a, b, c].map(({ got }) => got.length)).toEqual([1, 1, 1]);
  });

  test('a stopped station gets what waited when it goes on', () => {
    b.port.stop();
    a.say(B);
    a.say(BROADCAST);
    segment.runFor(1);
    expect(b.got).toHaveLength(0);
    b.port.resume();
    expect(b.got).toHaveLength(2);
  });

  test('loss is by the seed, and about as much as was asked for', () => {
    const lost = [1, 1, 2].map((seed) => {
      const lossy = new Segment({ seed, faults: { lossOut: 0.1, lossIn: 0.1 } });
      const [from, to] = [new Box(lossy, A), new Box(lossy, B)];
      for (let i = 0; i < 1000; i++) from.say(B);
      lossy.runFor(1);
      return to.got.length;
    });
    expect(lost[0]).toBe(lost[1]);
    expect(lost[0]).not.toBe(lost[2]);
    expect(lost[0]).toBeGreaterThan(760);
    expect(lost[0]).toBeLessThan(860);
  });
});

describe.each([
  ['ARP', SHARED, words('10.7.0.9')],
  ['ND', SHARED6, words('fe80::9')],
])('a host with %s', (_name, gateway, address) => {
  let segment: Segment;
  let box: Box;
  let host: ModelHost;
  beforeEach(() => {
    segment = new Segment();
    box = new Box(segment, B);
    box.answers = { address: gateway, mac: B };
    host = new ModelHost(segment, { mac: A, address, gateway });
  });

  test('asks, believes, and refreshes by unicast', () => {
    segment.runFor(0.01);
    expect(host).toMatchObject({ state: 'reachable', gatewayMac: B, surplus: 0 });
    segment.runFor(120);
    expect(new Set(host.asked.map(({ kind }) => kind))).toEqual(new Set(['broadcast', 'unicast']));
    expect(host.asked.filter(({ kind }) => kind === 'broadcast')).toHaveLength(1);
    expect(host.asked.every(({ replies }) => replies === 1)).toBe(true);
  });

  test('gives up and asks anew when nobody answers', () => {
    box.answers = null;
    segment.runFor(10);
    expect(host.gatewayMac).toBeNull();
    expect(host.asked.length).toBeGreaterThan(6);
    expect(host.failures.length).toBeGreaterThan(1);
    box.answers = { address: gateway, mac: B };
    segment.runFor(2);
    expect(host.gatewayMac).toBe(B);
  });

  test('answers for its own address', () => {
    box.port.send(requestFrame({ mac: B, address: gateway }, address));
    segment.runFor(0.001);
    const told = box.got.map(({ frame }) => readNeighbour(frame)).find((heard) => heard?.kind === 'tell');
    expect(told).toMatchObject({ mac: A, address });
  });
});

describe('what a host of Linux believes of an address that moves', () => {
  let segment: Segment;
  let box: Box;
  let host: ModelHost;
  const tell = (operation: number, target: number): void => {
    box.port.send(
      arpFrame({
        to: A,
        from: C,
        operation,
        senderMac: C,
        sender: SHARED[3],
        targetMac: operation === 1 ? 0 : A,
        target,
      }),
    );
    segment.runFor(0.001);
  };
  beforeEach(() => {
    segment = new Segment();
    box = new Box(segment, B);
    box.answers = { address: SHARED, mac: B };
    host = new ModelHost(segment, { mac: A, address: words('10.7.0.9'), gateway: SHARED });
    segment.runFor(0.01);
  });

  test('within a second of the last change a plain reply is not heeded, after it, it is', () => {
    tell(2, host.options.address[3]);
    expect(host.gatewayMac).toBe(B);
    segment.runFor(1.1);
    tell(2, host.options.address[3]);
    expect(host.gatewayMac).toBe(C);
  });

  test('a gratuitous request is heeded at once', () => {
    tell(1, SHARED[3]);
    expect(host.gatewayMac).toBe(C);
    expect(host.surplus).toBe(0);
  });
});
