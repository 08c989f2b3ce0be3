/** Groups that speak GLBP: election, numbers of forwarders, takeover, and who answers hosts. */
import { describe, expect, test } from 'vitest';
import { macText, readMac } from '../../../src/gateway/mac.js';
import { glbpSecret } from '../../../src/gateway/glbp/options.js';
import { GLBP_STATE } from '../../../src/wire/glbp.js';
import { linkLayer, neighbour } from '../../helpers/neighbour-frames.js';
import { address, type Gateway, messageOf, Segment } from './segment.js';

const VMAC = (number: number): string => `00:07:b4:00:07:0${number}`;
/** Listen, then speak, each for the hold time of 10 s, then standby, and active at once; and a request for a number. */
const SETTLED = 30;
const kinds = ({ events }: Gateway): string[] => events.map(({ kind }) => kind);

function three(): { segment: Segment; gateways: Gateway[] } {
  const segment = new Segment();
  const gateways = [segment.add({ priority: 110 }), segment.add({ priority: 105 }), segment.add()];
  segment.run(SETTLED);
  return { segment, gateways };
}

test('the highest priority becomes active, the next one standby, and each has its own forwarder', () => {
  const { segment, gateways } = three();
  expect(segment.masters).toEqual([1]);
  expect(gateways.map(({ row }) => row.state)).toEqual(['master', 'backup', 'listen']);
  expect(Object.keys(segment.held)).toEqual([VMAC(1), VMAC(2), VMAC(3)]);
  expect(Object.values(segment.held).flat().sort()).toEqual([1, 2, 3]);
  expect(gateways[0].group.forwarders(segment.now).map(({ state }) => state)).toEqual(['active', 'active', 'active']);
});

test('among equal priorities the higher address is elected', () => {
  const segment = new Segment();
  for (let n = 0; n < 3; n++) segment.add();
  segment.run(SETTLED);
  expect(segment.masters).toEqual([3]);
});

test('hellos come from the virtual MACs that the sender serves, with TTL 255', () => {
  const { segment, gateways } = three();
  const before = gateways[0].sent.length;
  segment.run(SETTLED + 3.5);
  const hellos = gateways[0].sent.slice(before).filter((frame) => messageOf(frame)?.hello != null);
  expect(hellos.length).toBeGreaterThan(0);
  for (const frame of hellos) {
    expect([...frame.subarray(6, 12)]).toEqual([0, 7, 0xb4, 0, 7, 1]);
    expect(messageOf(frame)?.hello?.state).toBe(GLBP_STATE.active);
  }
});

test('a dead master: the standby gateway succeeds within the hold time and takes its virtual MAC (claims 24, 36)', () => {
  const { segment, gateways } = three();
  gateways[0].dead = true;
  segment.run(segment.now + 10 + 3);
  expect(segment.masters).toEqual([2]);
  expect(segment.held[VMAC(1)]).toEqual([2]);
  segment.run(segment.now + 10 + 3);
  expect(gateways[2].row.state).toBe('backup');
});

test('a dead slave: the master takes its virtual MAC and goes on giving it out (claim 8)', () => {
  const { segment, gateways } = three();
  const [lost] = Object.entries(segment.held).find(([, by]) => by[0] === 3) as [string, number[]];
  gateways[2].dead = true;
  segment.run(segment.now + 10 + 1);
  expect(segment.held[lost]).toEqual([1]);
  const row = gateways[0].group.forwarders(segment.now).find(({ state }) => state === 'taken-over');
  expect(row).toMatchObject({ givenOut: true, served: true });
});

test('redirect and timeout: the dead forwarder is given out no more, then served no more, and its number is free', () => {
  const segment = new Segment();
  const settings = { redirect: 60, timeout: 120 };
  const [a, , c] = [segment.add({ priority: 110, ...settings }), segment.add(settings), segment.add(settings)];
  segment.run(SETTLED);
  const number = c.group.status(segment.now).number;
  c.dead = true;
  segment.run(SETTLED + 75);
  const row = a.group.forwarders(segment.now).find((forwarder) => forwarder.number === number);
  expect(row).toMatchObject({ state: 'draining', givenOut: false, served: true });
  segment.run(SETTLED + 130);
  expect(segment.held[VMAC(number)]).toBeUndefined();
  const late = segment.add(settings, 9);
  segment.run(segment.now + SETTLED);
  expect(late.group.status(segment.now).number).toBe(number);
  expect(segment.held[VMAC(number)]).toEqual([9]);
});

test('a fifth gateway has no forwarder and stands by', () => {
  const segment = new Segment();
  for (let n = 1; n <= 5; n++) segment.add({ priority: 200 - n });
  segment.run(SETTLED + 10);
  expect(Object.keys(segment.held)).toHaveLength(4);
  const numbers = segment.gateways.map(({ group }) => group.status(segment.now).number).sort();
  expect(numbers).toEqual([0, 1, 2, 3, 4]);
  const [without] = segment.gateways.filter(({ group }) => group.status(segment.now).number === 0);
  expect(segment.gateways[0].group.counters().glbpForwardersExhausted).toBeGreaterThan(0);
  expect(without.holds.size).toBe(0);
});

test('a clean stop: others take office and virtual MAC at once', () => {
  const { segment, gateways } = three();
  const at = segment.now;
  gateways[0].group.stop(at);
  segment.take(gateways[0]);
  segment.run(at + 2);
  expect(segment.masters).toEqual([2]);
  expect(segment.held[VMAC(1)]).toEqual([2]);
  expect(gateways[0].holds.size).toBe(0);
});

test('pre-emption takes the office from a living master after its delay, and only where it is asked for', () => {
  const segment = new Segment();
  const first = segment.add();
  segment.run(SETTLED);
  const second = segment.add({ priority: 200 });
  segment.run(segment.now + 60);
  expect(segment.masters).toEqual([first.index]);
  second.group.configure({ preempt: { delay: 5 } }, segment.now);
  segment.take(second);
  segment.run(segment.now + 5 + 3 + 1);
  expect(segment.masters).toEqual([second.index]);
});

test('a gateway that returns takes its forwarder back after the forwarder delay', () => {
  const { segment, gateways } = three();
  const number = gateways[2].group.status(segment.now).number;
  gateways[2].dead = true;
  segment.run(segment.now + 20);
  expect(segment.held[VMAC(number)]).toEqual([1]);
  const again = segment.add({}, 3);
  segment.run(segment.now + SETTLED);
  expect(again.group.status(segment.now).number).toBe(number);
  segment.run(segment.now + 30 + 5);
  expect(segment.held[VMAC(number)]).toEqual([3]);
});

test('two masters that come to hear each other: one remains, and no forwarder has two servers', () => {
  const { segment, gateways } = three();
  gateways[2].side = 1;
  segment.run(segment.now + 60);
  expect(segment.masters).toEqual([1, 3]);
  gateways[2].side = 0;
  segment.run(segment.now + 4);
  expect(segment.masters).toEqual([1]);
  segment.run(segment.now + 30 + 10);
  for (const [mac, by] of Object.entries(segment.held)) expect(by, mac).toHaveLength(1);
});

test('a gateway that was stopped for longer than the hold time begins as a listener', () => {
  const { segment, gateways } = three();
  gateways[0].dead = true;
  segment.run(segment.now + 15);
  gateways[0].dead = false;
  segment.run(segment.now + 0.5);
  expect(kinds(gateways[0])).toContain('frozen');
  expect(segment.masters).toEqual([2]);
});

test('a gateway that cannot forward gives its virtual MAC and its office to others at once', () => {
  const { segment, gateways } = three();
  gateways[0].group.setTracking(
    { priorityLoss: 0, weightLoss: 0, able: false, reasons: ['eth1 is down'] },
    segment.now,
  );
  segment.take(gateways[0]);
  segment.run(segment.now + 3);
  expect(segment.masters).toEqual([2]);
  expect(segment.held[VMAC(1)]).toEqual([2]);
  expect(gateways[0].holds.size).toBe(0);
});

/** The virtual MAC that an ARP reply tells, and who sent it. */
const told = (frame: Uint8Array): { told: string; by: string; host: string } => ({
  told: macText(readMac(frame, 22)),
  by: macText(readMac(frame, 6)),
  host: macText(readMac(frame, 0)),
});

describe('hosts', () => {
  test('only the master answers, each forwarder in its turn; a host that asks again is told the same', () => {
    const segment = new Segment();
    for (const priority of [110, 105, 100]) segment.add({ priority, algorithm: 'round-robin' });
    segment.run(SETTLED);
    for (let host = 1; host <= 30; host++) segment.ask(host);
    segment.run(segment.now + 0.1);
    const first = segment.replies.map(told);
    expect(first).toHaveLength(30);
    const counts = [1, 2, 3].map((number) => first.filter((reply) => reply.told === VMAC(number)).length);
    expect(counts).toEqual([10, 10, 10]);
    // Everything leaves the master's own port, so no switch looks for another gateway's virtual MAC there.
    expect(new Set(first.map(({ by }) => by))).toEqual(new Set([VMAC(1)]));
    segment.replies = [];
    for (let host = 30; host >= 1; host--) segment.ask(host);
    segment.run(segment.now + 0.1);
    const again = new Map(segment.replies.map((frame) => [told(frame).host, told(frame).told]));
    expect(first.every((reply) => again.get(reply.host) === reply.told)).toBe(true);
    expect(segment.gateways[0].group.hosts(segment.now)).toHaveLength(30);
  });

  test('the virtual MAC of a dead gateway is told as long as somebody serves it, and not after redirect', () => {
    const segment = new Segment();
    const settings = { algorithm: 'round-robin', redirect: 60 } as const;
    const [master, slave] = [segment.add({ priority: 110, ...settings }), segment.add(settings)];
    segment.run(SETTLED);
    slave.dead = true;
    segment.run(segment.now + 12);
    for (let host = 1; host <= 10; host++) segment.ask(host);
    segment.run(segment.now + 0.1);
    expect(new Set(segment.replies.map((frame) => told(frame).told))).toEqual(new Set([VMAC(1), VMAC(2)]));
    segment.run(segment.now + 60);
    segment.replies = [];
    for (let host = 11; host <= 20; host++) segment.ask(host);
    segment.run(segment.now + 0.1);
    expect(new Set(segment.replies.map((frame) => told(frame).told))).toEqual(new Set([VMAC(1)]));
    expect(master.group.counters().answeredArp).toBe(20);
  });

  test('what was asked while nobody answered is answered by the successor', () => {
    const { segment, gateways } = three();
    gateways[0].dead = true;
    segment.run(segment.now + 9);
    const before = segment.replies.length;
    segment.run(segment.now + 2.9);
    if (segment.masters.length > 0) segment.replies = segment.replies.slice(0, before);
    segment.ask(1);
    segment.run(segment.now + 3);
    expect(segment.masters).toEqual([2]);
    expect(segment.replies.map((frame) => told(frame).host)).toContain('02:00:00:00:10:01');
  });

  test('IPv6: an advertisement tells the virtual MAC as link-layer address, and hellos go to ff02::66', () => {
    const segment = new Segment();
    const six = { addresses: [address('fe80::7:fe')], ownAddress: address('fe80::1') };
    const master = segment.add(six);
    segment.run(SETTLED);
    expect(segment.masters).toEqual([1]);
    expect([...master.sent[0].subarray(0, 6)]).toEqual([0x33, 0x33, 0, 0, 0, 0x66]);
    segment.inject(
      neighbour({
        from: 0x020000001001,
        source: 'fe80::1001',
        type: 135,
        target: 'fe80::7:fe',
        options: linkLayer(1, 0x020000001001),
      }),
    );
    segment.run(segment.now + 0.1);
    expect(segment.replies).toHaveLength(1);
    expect(macText(readMac(segment.replies[0], segment.replies[0].length - 6))).toBe(VMAC(1));
  });
});

describe('what is not believed', () => {
  test.each([
    ['another secret', 'glbpAuthentication', { glbp: { secret: glbpSecret('md5', Uint8Array.of(1, 2, 3)) } }],
    ['another group', 'glbpOtherGroup', { group: 8 }],
    ['another shared address', 'glbpOtherAddress', { addresses: [address('10.7.0.253')] }],
    ['our own address', 'glbpDuplicateAddress', { ownAddress: address('10.7.0.1') }],
  ] as const)('%s: counted as %s, and never a second opinion about the master', (_name, counter, options) => {
    const segment = new Segment();
    const [own] = [segment.add()];
    segment.add({ priority: 250, ...(options as object) });
    segment.run(SETTLED + 30);
    expect(own.group.counters()[counter]).toBeGreaterThan(0);
    expect(own.row.master).toBe(true);
  });

  test('timers that make no sense are not learnt', () => {
    const segment = new Segment();
    segment.add({ priority: 250, glbp: { hello: 3, hold: 1 } as never });
    const own = segment.add();
    segment.run(SETTLED);
    const hello = own.sent.map((frame) => messageOf(frame)?.hello).filter((told) => told != null);
    expect(hello.at(-1)).toMatchObject({ helloMs: 3000, holdMs: 10_000 });
  });
});
