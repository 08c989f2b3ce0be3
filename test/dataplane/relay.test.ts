/** Packets of tunnels that another designator of the gateway group has. */
import { describe, expect, test } from 'vitest';
import { GroupWords } from '../../src/flow/group-words.js';
import { PORT_INSIDE, PORT_OUTSIDE } from '../../src/io/port.js';
import { arp, linkLayer, neighbour } from '../helpers/neighbour-frames.js';
import { l2tpData, sccrp, sccrq, udpFrame, zlb } from '../helpers/packet-builder.js';
import { CLIENT, Harness, SERVER_1, VIP, vipOf } from '../helpers/shard-harness.js';

/** Of group 9, forwarder `number`. */
const virtualMac = (number: number): Uint8Array => Uint8Array.of(0x02, 0x54, 0x44, 0x00, 0x09, number);
const VIP_6 = '2001:db8::64';
const SERVER_MAC = Uint8Array.of(2, 0, 0, 0, 0x5e, 1);

const addressed = (frame: Uint8Array, to: Uint8Array, from: Uint8Array = SERVER_MAC): Uint8Array => {
  frame.set(to, 0);
  frame.set(from, 6);
  return frame;
};
const fromServer = (payload: Uint8Array): Uint8Array => udpFrame(`${SERVER_1}:1701`, `${CLIENT}:1701`, payload);
const data = (): Uint8Array => fromServer(l2tpData({ tunnel: 7, session: 1, payload: 'ff03' }));

function member(side: 'outside' | 'inside', peers: readonly number[]): Harness {
  const h = new Harness();
  const words = new GroupWords(h.memory, side);
  words.begin(virtualMac(0));
  words.hold(1, true);
  words.setPeers(1, peers);
  return h;
}

describe('a packet of no tunnel that is known here', () => {
  test('goes to the other member, from virtual MAC to virtual MAC, and is no drop', () => {
    const h = member('inside', [2]);
    const { sent } = h.send(addressed(data(), virtualMac(1)), PORT_INSIDE);
    expect(sent).toHaveLength(1);
    expect(sent[0].port).toBe(PORT_INSIDE);
    expect(sent[0].frame).toEqual(addressed(data(), virtualMac(2), virtualMac(1)));
    expect(h.drops()).toEqual({});
  });

  test('goes to each of several members once', () => {
    const h = member('inside', [2, 3, 4]);
    const { sent } = h.send(addressed(data(), virtualMac(1)), PORT_INSIDE);
    expect(sent.map(({ frame }) => frame[5]).sort()).toEqual([2, 3, 4]);
    for (const { frame } of sent) expect(frame.subarray(12)).toEqual(data().subarray(12));
  });

  test.each([
    ['a server’s answer', fromServer(sccrp({ tunnel: 7, assigned: 99 }))],
    ['a server’s ZLB', fromServer(zlb({ tunnel: 7 }))],
  ])('%s as well', (_name, frame) => {
    const h = member('inside', [2]);
    expect(h.send(addressed(frame, virtualMac(1)), PORT_INSIDE).sent.map(({ frame: out }) => out[5])).toEqual([2]);
  });

  test('is handed on once: what comes from a virtual MAC is dropped here', () => {
    const h = member('inside', [2]);
    expect(h.send(addressed(data(), virtualMac(1), virtualMac(2)), PORT_INSIDE).sent).toEqual([]);
    expect(h.drops()).toEqual({ 'unknown-server': 1 });
  });

  test('stays here when it was sent to the gateway’s own MAC, or when there is nobody else', () => {
    for (const [peers, to] of [
      [[2], Uint8Array.of(2, 0, 0, 0, 0x0d, 2)],
      [[], virtualMac(1)],
    ] as const) {
      const h = member('inside', peers);
      expect(h.send(addressed(data(), to), PORT_INSIDE).sent).toEqual([]);
      expect(h.drops()).toEqual({ 'unknown-server': 1 });
    }
  });

  test('from clients: data and control, no faster than a shard may', () => {
    const h = member('outside', [2]);
    const unknown = (): Uint8Array =>
      addressed(
        udpFrame(`${CLIENT}:1701`, `${VIP}:1701`, l2tpData({ tunnel: 99, session: 1, payload: 'ff03' })),
        virtualMac(1),
      );
    expect(h.send(unknown(), PORT_OUTSIDE).sent.map(({ frame }) => frame[5])).toEqual([2]);
    let relayed = 1;
    for (let n = 0; n < 5100; n++) relayed += h.send(unknown(), PORT_OUTSIDE).sent.length;
    expect(relayed).toBe(5000);
    expect(h.drops()).toEqual({ 'unknown-tunnel': 101 });
  });

  test('a request is designated where it arrives', () => {
    const h = member('outside', [2]);
    const request = udpFrame(`${CLIENT}:1701`, `${VIP}:1701`, sccrq({ assigned: 7 }));
    const { sent } = h.send(addressed(request, virtualMac(1)), PORT_OUTSIDE);
    expect(sent.map(({ port }) => port)).toEqual([PORT_INSIDE]);
  });
});

const withBoth = (): Harness => new Harness({ vips: [vipOf({}), vipOf({}, 'six', VIP_6)] });

describe('who has the VIP', () => {
  const questions = [
    ['ARP', arp({ from: 0x020000000c05, sender: '200.200.100.9', target: VIP })],
    [
      'Neighbour Solicitation',
      neighbour({
        from: 0x020000000c05,
        source: '2001:db8::9',
        type: 135,
        target: VIP_6,
        options: linkLayer(1, 0x020000000c05),
      }),
    ],
  ] as const;

  test.each(questions)('%s: the designator answers when there is no group', (_name, frame) => {
    const h = withBoth();
    expect(h.send(frame, PORT_OUTSIDE).sent).toHaveLength(1);
  });

  test.each(questions)('%s: with a group it is the host’s, whose tap the group hears', (_name, frame) => {
    const h = withBoth();
    h.tell({ type: 'plan', plan: { ...h.plan, answeredByGroup: true } });
    const { sent, passed } = h.send(frame, PORT_OUTSIDE);
    expect(sent).toEqual([]);
    expect(passed).toHaveLength(1);
  });
});
