import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { bucketOf, bucketScale, multipliersOf, otherBucket, stirred, sumOf, thirdHash } from '../../src/flow/hash.js';
import {
  ENTRY,
  ENTRY_WORDS,
  FLAG_DENIED,
  FLAG_OFFLOADED,
  HEADER,
  NEXT_HOP,
  NEXT_HOP_STATE,
  XDP_FLAG,
} from '../../src/flow/layout.js';
import { PORT_INSIDE, PORT_OUTSIDE } from '../../src/io/port.js';
import { DEFAULT_CONFIG, GOLDEN } from '../helpers/golden-cases.js';
import { INSIDE_MAC, OUTSIDE_MAC } from '../helpers/memory-appliance.js';
import { frame, hex, l2tpData, MAC_A, scccn, sccrp, sccrq, udpFrame, viewOf, zlb } from '../helpers/packet-builder.js';
import { XDP_DROP, XDP_PASS, XDP_REDIRECT, XDP_TX, xdpProblem } from '../helpers/xdp-rig.js';
import { XdpTwin } from '../helpers/xdp-twin.js';

const reason = xdpProblem();
const START = 1000;
const twins: XdpTwin[] = [];

function twin(...args: ConstructorParameters<typeof XdpTwin>): XdpTwin {
  const made = new XdpTwin(...args);
  twins.push(made);
  return made;
}
afterEach(() => {
  for (const made of twins.splice(0)) made.close();
});

test.runIf(reason !== null && process.env.TD_REQUIRE_LAB === '1')('programs can be loaded here', () => {
  throw new Error(reason ?? '');
});

const small = (config = DEFAULT_CONFIG): string =>
  config.includes('table:') ? config : `${config}table: { connections: 64 }\n`;
const need = reason === null ? '' : ` (${reason})`;

const CLIENT = '192.128.10.5:1701';
const VIP = '200.200.100.1:1701';
const S1 = '10.10.1.1:1701';
const S2 = '10.10.1.2:1701';
const PPP = 'ff03c0210101000405dc';
type More = Parameters<typeof udpFrame>[3];

const dataIn = (more: More = {}, header: Partial<Parameters<typeof l2tpData>[0]> = {}): Uint8Array =>
  udpFrame(CLIENT, VIP, l2tpData({ tunnel: 99, session: 1, payload: PPP, ...header }), more);
const dataOut = (more: More = {}, header: Partial<Parameters<typeof l2tpData>[0]> = {}): Uint8Array =>
  udpFrame(S2, CLIENT, l2tpData({ tunnel: 7, session: 1, payload: PPP, ...header }), more);

/** The first tunnel of the example, established, in a small table. */
function established(options: ConstructorParameters<typeof XdpTwin>[1] = {}, config = DEFAULT_CONFIG): XdpTwin {
  const made = twin(small(config), options);
  for (const message of [
    udpFrame(CLIENT, VIP, sccrq({ assigned: 7 })),
    udpFrame(S2, CLIENT, sccrp({ tunnel: 7, assigned: 99 })),
    udpFrame(CLIENT, VIP, scccn({ tunnel: 99 })),
    udpFrame(S2, CLIENT, zlb({ tunnel: 7, ns: 1, nr: 2 })),
  ])
    expect(made.both(message).outcome.sent).toHaveLength(1);
  return made;
}

/** Numbers that look random and are the same in every run. */
function* noise(seed: number): Generator<number, never> {
  for (let state = seed | 0; ; ) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    yield (state >>> 8) & 0xffff;
  }
}

/** Instructions that this kernel's verifier walked through; it gives up at a million. */
test.skipIf(reason !== null)(`the verifier is far from giving up, and a start waits little for it${need}`, () => {
  const { rig } = twin(small());
  for (const fd of [rig.program, rig.maps.spread]) {
    const [, walked] = /^verified_insns:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')) ?? [];
    expect(Number(walked)).toBeGreaterThan(1000);
    expect(Number(walked)).toBeLessThan(300_000);
  }
});

describe.skipIf(reason !== null)(`the golden cases, frame by frame${need}`, () => {
  test.each(GOLDEN)('$name', ({ config, frames }) => {
    const both = twin(small(config));
    for (const { at, frame: bytes } of frames) {
      both.appliance.at(START + at);
      both.both(bytes);
    }
    expect(both.forwarded + both.passed + both.handed).toBeGreaterThanOrEqual(frames.length - 2);
  });

  test('cut off anywhere they are judged alike', () => {
    for (const name of [
      'document-003-example-first-tunnel-goes-to-10.10.1.2',
      'data-with-length-sequence-offset',
      'ipv6-vip-and-server',
      'fragments-to-the-vip-are-dropped-by-name',
      'non-tunnel-traffic-is-the-hosts',
      'arp-and-echo-for-the-vip-are-answered',
    ]) {
      const { config, frames } = GOLDEN.find((one) => one.name === name) as (typeof GOLDEN)[number];
      const both = twin(small(config));
      for (const { frame: bytes } of frames) {
        for (let length = 14; length < bytes.length; length++) both.both(bytes.slice(0, length), both.ingressOf(bytes));
        both.both(bytes);
      }
    }
  });

  test('with bytes changed at random they are judged alike', () => {
    const random = noise(1);
    for (const name of [
      'two-servers-choose-one-id-second-gets-a-virtual-one',
      'data-with-length-sequence-offset',
      'floating-port-exposed',
      'ipv6-vip-and-server',
    ]) {
      const { config, frames } = GOLDEN.find((one) => one.name === name) as (typeof GOLDEN)[number];
      const both = twin(small(config));
      for (const { frame: bytes } of frames) {
        both.both(bytes);
        for (let n = 0; n < 150; n++) {
          const changed = bytes.slice();
          // Behind the MACs; mostly in the headers that decide.
          for (let k = random.next().value % 3; k >= 0; k--) {
            changed[12 + (random.next().value % Math.min(60, changed.length - 12))] = random.next().value & 0xff;
          }
          both.both(changed, both.ingressOf(bytes));
        }
      }
      if (!name.startsWith('ipv6')) expect(both.forwarded).toBeGreaterThan(5);
      expect(both.handed).toBeGreaterThan(100);
    }
  });
});

describe.skipIf(reason !== null)(`an established tunnel${need}`, () => {
  test('goes both ways, counted', () => {
    const made = established();
    expect(made.both(dataIn()).run.counted).toMatchObject({ inToInside: 1 });
    expect(made.both(dataOut()).run.counted).toMatchObject({ outToOutside: 1 });
  });

  test('entries count packets and bytes, and when they were used last', () => {
    const made = established();
    const { entries, layout } = made.rig.memory;
    const frames = [dataIn(), dataIn({}, { payload: 'aa'.repeat(500) })];
    const bytes = frames.reduce((sum, one) => sum + one.length - 14, 0);
    const before = entries.slice();
    for (const one of frames) made.program(one, PORT_OUTSIDE, true);
    const changed = Array.from({ length: layout.slotCount }, (_, slot) => slot * ENTRY_WORDS).filter(
      (at) => entries[at + ENTRY.packets] !== before[at + ENTRY.packets],
    );
    expect(changed).toHaveLength(1);
    const [at] = changed;
    expect(entries[at + ENTRY.packets] - before[at + ENTRY.packets]).toBe(2);
    expect(entries[at + ENTRY.bytes] - before[at + ENTRY.bytes]).toBe(bytes);
    const now = Number(process.hrtime.bigint() / 1_000_000_000n);
    expect(now - entries[at + ENTRY.lastSeen]).toBeGreaterThanOrEqual(0);
    expect(now - entries[at + ENTRY.lastSeen]).toBeLessThanOrEqual(5);
  });

  test.each([
    ['not offloaded', (record: number) => record & ~FLAG_OFFLOADED],
    ['denied', (record: number) => record | FLAG_OFFLOADED | FLAG_DENIED],
  ])('entries that are %s send to a shard', (_, change) => {
    const made = established({ offloadAll: false });
    const { entries, layout } = made.rig.memory;
    for (let slot = 0; slot < layout.slotCount; slot++) {
      const at = slot * ENTRY_WORDS + ENTRY.record;
      if (entries[at] !== 0) entries[at] = change(entries[at]);
    }
    expect(made.program(dataIn())).toMatchObject({ action: XDP_DROP, counted: { noSocket: 1 } });
    expect(made.program(dataOut())).toMatchObject({ action: XDP_DROP, counted: { noSocket: 1 } });
  });

  test('an entry that is being written sends to a shard, from a port that nobody knows too', () => {
    const made = established(
      {},
      `vips:\n  - { name: access, address: 200.200.100.1, servers: [{ name: lns2, address: 10.10.1.2 }] }\n`,
    );
    const floated = udpFrame('10.10.1.2:50001', CLIENT, l2tpData({ tunnel: 7, session: 1, payload: PPP }));
    expect(made.both(floated).run.counted).toMatchObject({ outToOutside: 1 });
    const { entries, layout } = made.rig.memory;
    for (let slot = 0; slot < layout.slotCount; slot++) entries[slot * ENTRY_WORDS] |= 1;
    for (const one of [dataIn(), dataOut(), floated])
      expect(made.program(one)).toMatchObject({ action: XDP_DROP, counted: { noSocket: 1 } });
  });

  test('without offload everything goes to a shard', () => {
    const made = established();
    made.rig.sides({ flags: 0 });
    expect(made.program(dataIn())).toMatchObject({ action: XDP_DROP, counted: { noSocket: 1 } });
  });

  test('a next hop without an address sends to a shard', () => {
    const made = established();
    const { nextHops } = made.rig.memory;
    for (let at = 0; at < nextHops.length; at += 8)
      nextHops[at + NEXT_HOP.macLow] = (nextHops[at + NEXT_HOP.macLow] & ~0xff) | NEXT_HOP_STATE.unresolved;
    expect(made.program(dataIn())).toMatchObject({ action: XDP_DROP, counted: { noSocket: 1 } });
    for (let at = 0; at < nextHops.length; at += 8) {
      nextHops[at + NEXT_HOP.macLow] = (nextHops[at + NEXT_HOP.macLow] & ~0xff) | NEXT_HOP_STATE.resolved;
      nextHops[at + NEXT_HOP.version] |= 1;
    }
    expect(made.program(dataIn())).toMatchObject({ action: XDP_DROP, counted: { noSocket: 1 } });
  });

  test('options, fragments and a used-up TTL are for a shard', () => {
    const made = established();
    for (const more of [
      { ip: { options: '01010101' } },
      { ip: { fragment: { offset: 0, more: true } } },
      { ip: { ttl: 1 } },
      { ip: { ttl: 0 } },
    ])
      expect(made.both(dataIn(more)).run.counted).toEqual({ noSocket: 1 });
  });

  test('where a VIP clamps, SYNs of TCP inside PPP are for a shard, and nothing else is', () => {
    const made = established();
    const inside = (v6: boolean, flags: number): string => {
      const [src, dst] = v6 ? ['2001:db8:a::1', '2001:db8:a::2'] : ['10.1.1.1', '10.1.1.2'];
      return hex(frame({ ip: { src, dst }, tcp: { src: 5000, dst: 80, flags } }).subarray(14));
    };
    const segments = [false, true].flatMap((v6) =>
      ['ff0300', 'ff03', '00', ''].map((ppp) => (flags: number) => `${ppp}${v6 ? '57' : '21'}${inside(v6, flags)}`),
    );
    const by = (payload: string) => made.program(dataIn({}, { payload })).counted;
    for (const segment of segments) expect(by(segment(0x02))).toMatchObject({ inToInside: 1 });
    made.rig.sides({ flags: XDP_FLAG.offload | XDP_FLAG.clamp });
    for (const segment of segments) {
      expect(by(segment(0x02))).toEqual({ noSocket: 1 });
      expect(by(segment(0x12))).toEqual({ noSocket: 1 });
      expect(by(segment(0x10))).toMatchObject({ inToInside: 1 });
    }
    for (const other of ['ff03c02101010004', '2100000000', 'ff00000000', '0045000000'])
      expect(by(other)).toMatchObject({ inToInside: 1 });
  });

  test('entries beyond their second bucket are found, too', () => {
    const made = established();
    const { memory } = made.rig;
    const { layout, entries, fingerprints } = memory;
    // The entry moves to its third bucket, as it would lie there had the first two been full.
    const slot = Array.from({ length: layout.slotCount }, (_, n) => n).find(
      (n) => fingerprints[n] >= 4 && (entries[n * ENTRY_WORDS + ENTRY.tag] & 0xff) === 3,
    ) as number;
    const key = entries.subarray(slot * ENTRY_WORDS + 1, slot * ENTRY_WORDS + 8);
    const hash = stirred(sumOf(key, 0, multipliersOf(memory.header[HEADER.hashSeed])));
    const scale = bucketScale(layout.bucketCount);
    const bucket = bucketOf(thirdHash(hash), scale);
    const place = [0, 1, 2, 3].map((n) => bucket * 4 + n).find((n) => fingerprints[n] === 0) as number;
    const first = bucketOf(hash, scale);
    expect([first, otherBucket(first, hash)]).not.toContain(bucket);
    entries.copyWithin(place * ENTRY_WORDS, slot * ENTRY_WORDS, (slot + 1) * ENTRY_WORDS);
    fingerprints[place] = fingerprints[slot];
    fingerprints[slot] = 0;
    entries.fill(0, slot * ENTRY_WORDS, (slot + 1) * ENTRY_WORDS);
    expect(made.program(dataIn()).counted).toEqual({ noSocket: 1 });
    memory.header[HEADER.overflowEntries] = 1;
    memory.header[HEADER.overflowReach] = 2;
    expect(made.both(dataIn()).run.counted).toMatchObject({ inToInside: 1 });
  });

  test('no device to send to', () => {
    const made = established();
    // A port number that the map has no device for cannot be made, so the map loses one.
    made.rig.bpf.remove(made.rig.maps.td_devices, new Uint8Array(Uint32Array.of(1).buffer));
    expect(made.program(dataIn())).toMatchObject({ action: XDP_DROP, counted: { redirectFailed: 1 } });
  });
});

describe.skipIf(reason !== null)(`IPv6${need}`, () => {
  const client = '[2001:db8:1::5]:1701';
  const vip = '[2001:db8:2::1]:1701';
  const server = '[fd00::1]:1701';

  test('goes both ways, and is judged alike with bytes changed at random', () => {
    const made = twin(
      'vips:\n  - { name: six, address: "2001:db8:2::1", servers: [{ name: s1, address: "fd00::1" }] }\ntable: { connections: 64 }\n',
    );
    made.both(udpFrame(client, vip, sccrq({ assigned: 7 })));
    made.both(udpFrame(server, client, sccrp({ tunnel: 7, assigned: 99 })));
    const frames = [
      udpFrame(client, vip, l2tpData({ tunnel: 99, session: 1, payload: PPP })),
      udpFrame(server, client, l2tpData({ tunnel: 7, session: 1, length: true, sequence: [1, 2], payload: PPP })),
      udpFrame(client, vip, l2tpData({ tunnel: 99, session: 1, offset: 2, payload: PPP })),
    ];
    const random = noise(3);
    for (const bytes of frames) {
      expect(made.both(bytes).run.action).toBe(XDP_REDIRECT);
      for (let length = 14; length < bytes.length; length++) made.both(bytes.slice(0, length), made.ingressOf(bytes));
      for (let n = 0; n < 300; n++) {
        const changed = bytes.slice();
        changed[12 + (random.next().value % (changed.length - 12))] = random.next().value & 0xff;
        made.both(changed, made.ingressOf(bytes));
      }
    }
    expect(made.forwarded).toBeGreaterThan(100);
  });
});

describe.skipIf(reason !== null)(`one arm${need}`, () => {
  test('what leaves where it came in is sent back', () => {
    const made = established();
    const { rig } = made;
    rig.sides({ flags: XDP_FLAG.offload | XDP_FLAG.oneArm | XDP_FLAG.sameDevice });
    made.program(dataIn());
    rig.sides({ outsideInterface: 1, insideInterface: 1 });
    const wanted = made.appliance.send(dataIn()).sent[0].frame;
    const run = rig.run(dataIn());
    expect(run).toMatchObject({ action: XDP_DROP, counted: { noSocket: 1 } }); // not offloaded: `program` took that back
    const { entries, layout } = rig.memory;
    for (let slot = 0; slot < layout.slotCount; slot++) {
      const at = slot * ENTRY_WORDS + ENTRY.record;
      if (entries[at] !== 0) entries[at] |= FLAG_OFFLOADED;
    }
    const sent = rig.run(dataIn());
    expect(sent).toMatchObject({ action: XDP_TX, counted: { inTx: 1 } });
    expect(hex(sent.data)).toBe(hex(wanted));
    expect(rig.run(dataOut())).toMatchObject({ action: XDP_TX, counted: { outTx: 1 } });
  });

  test('where the device cannot do that it is redirected, and a frame for another station is left alone', () => {
    const made = established();
    const { rig } = made;
    const flags = XDP_FLAG.offload | XDP_FLAG.oneArm | XDP_FLAG.sameDevice;
    rig.sides({ flags: flags | XDP_FLAG.redirectBack, outsideInterface: 1, insideInterface: 1 });
    const { entries, layout } = rig.memory;
    for (let slot = 0; slot < layout.slotCount; slot++) {
      const at = slot * ENTRY_WORDS + ENTRY.record;
      if (entries[at] !== 0) entries[at] |= FLAG_OFFLOADED;
    }
    expect(rig.run(dataIn())).toMatchObject({ action: XDP_REDIRECT, counted: { inToInside: 1 } });
    const flooded = dataIn({ eth: { dst: '02:00:00:00:00:77' } });
    expect(rig.run(flooded)).toMatchObject({ action: XDP_PASS, counted: { passed: 1 } });
  });

  test('two VLANs of one device: the tag is exchanged', () => {
    const made = established();
    const { rig } = made;
    const { entries, layout } = rig.memory;
    for (let slot = 0; slot < layout.slotCount; slot++) {
      const at = slot * ENTRY_WORDS + ENTRY.record;
      if (entries[at] !== 0) entries[at] |= FLAG_OFFLOADED;
    }
    const wanted = hex(made.appliance.send(dataIn()).sent[0].frame);
    const flags = XDP_FLAG.offload | XDP_FLAG.sameDevice;
    rig.sides({ flags, outsideInterface: 1, insideInterface: 1, outsideVlan: 100, insideVlan: 200 });
    expect(rig.run(dataIn())).toMatchObject({ action: XDP_PASS, counted: { passed: 1 } });
    expect(rig.run(dataIn({ eth: { vlan: 101 } }))).toMatchObject({ action: XDP_PASS });
    const exchanged = rig.run(dataIn({ eth: { vlan: 100 } }));
    expect(exchanged).toMatchObject({ action: XDP_TX, counted: { inTx: 1 } });
    expect(hex(exchanged.data)).toBe(`${wanted.slice(0, 24)}810000c8${wanted.slice(24)}`);
    rig.sides({ insideVlan: 0 });
    expect(hex(rig.run(dataIn({ eth: { vlan: 100 } })).data)).toBe(wanted);
    rig.sides({ outsideVlan: 0, insideVlan: 200 });
    expect(hex(rig.run(dataIn()).data)).toBe(`${wanted.slice(0, 24)}810000c8${wanted.slice(24)}`);
    // Seventeen bits of priority and tag: a tag of 0 is a priority alone, and no VLAN.
    const tagged = dataIn({ eth: { vlan: 200 } });
    rig.sides({ outsideVlan: 0, insideVlan: 0 });
    viewOf(tagged).setUint16(14, 0xe000);
    expect(hex(rig.run(tagged).data)).toBe(wanted);
  });
});

describe.skipIf(reason !== null)(`the deny list${need}`, () => {
  const mapped = (word: number): number[] => [0, 0, 0xffff, word];

  test('drops what no entry forwards, from outside only, ARP excepted', () => {
    const made = established();
    const request = udpFrame('198.51.100.9:1701', VIP, sccrq({ assigned: 9 }));
    const other = udpFrame('198.51.100.9:53', '203.0.113.5:53', 'aa');
    made.rig.deny(mapped(0xc6336400 | 0), 96 + 24, 2);
    made.rig.deny(mapped(0xc6336407 | 0), 128, 1);
    expect(made.program(request).counted).toEqual({ noSocket: 1 }); // the flag says whether there is a list
    made.rig.sides({ flags: XDP_FLAG.offload | XDP_FLAG.denyList });
    expect(made.program(request)).toMatchObject({ action: XDP_DROP, counted: { denied: 1 } });
    expect(made.program(other).counted).toEqual({ denied: 1 });
    expect(made.program(other, PORT_INSIDE).counted).toEqual({ passed: 1 });
    expect(made.program(udpFrame('198.51.100.7:1701', VIP, sccrq({ assigned: 9 }))).counted).toEqual({ noSocket: 1 });
    expect(made.program(frame({ arp: { senderIp: '198.51.100.9', targetIp: '200.200.100.1' } })).counted).toEqual({
      answered: 1,
    });
    expect(made.program(dataIn()).counted).toMatchObject({ inToInside: 1 });
  });

  test('denies by default what it does not allow; with one arm servers are not outside', () => {
    const made = established();
    made.rig.deny(mapped(0xc6336407 | 0), 128, 1);
    made.rig.sides({ flags: XDP_FLAG.offload | XDP_FLAG.denyList | XDP_FLAG.denyByDefault });
    expect(made.program(udpFrame('198.51.100.7:1701', VIP, sccrq({ assigned: 9 }))).counted).toEqual({ noSocket: 1 });
    expect(made.program(udpFrame('198.51.100.9:1701', VIP, sccrq({ assigned: 9 }))).counted).toEqual({ denied: 1 });
    const hello = udpFrame(S1, CLIENT, sccrq({ assigned: 9 }));
    expect(made.program(hello, PORT_OUTSIDE).counted).toEqual({ denied: 1 });
    made.rig.sides({ flags: XDP_FLAG.offload | XDP_FLAG.denyByDefault | XDP_FLAG.oneArm | XDP_FLAG.sameDevice });
    expect(made.program(hello, PORT_OUTSIDE).counted).toEqual({ noSocket: 1 });
  });

  test('knows IPv6, and lets neighbours be discovered', () => {
    const made = twin(
      'vips:\n  - { name: six, address: "2001:db8:2::1", servers: [{ name: s1, address: "fd00::1" }] }\ntable: { connections: 64 }\n',
    );
    made.rig.deny([0x20010db8, 0x00660000, 0, 0], 48, 2);
    made.rig.sides({ flags: XDP_FLAG.offload | XDP_FLAG.denyList });
    const from = (source: string): Uint8Array =>
      udpFrame(`[${source}]:1701`, '[2001:db8:2::1]:1701', sccrq({ assigned: 7 }));
    expect(made.program(from('2001:db8:66::1')).counted).toEqual({ denied: 1 });
    expect(made.program(from('2001:db8:67::1')).counted).toEqual({ noSocket: 1 });
    const solicitation = (target: string): Uint8Array =>
      frame({ ip: { src: '2001:db8:66::1', dst: 'ff02::1:ff00:1', ttl: 255 }, icmp: { type: 135 }, payload: target });
    expect(made.program(solicitation('20010db8000200000000000000000001')).counted).toEqual({ noSocket: 1 });
    expect(made.program(solicitation('20010db8000200000000000000000002')).counted).toEqual({ passed: 1 });
    expect(made.program(solicitation('00000000000000000000ffffc8c86401')).counted).toEqual({ passed: 1 });
  });
});

describe.skipIf(reason !== null)(`neighbours${need}`, () => {
  test('answers go to a shard only where the host cannot hear them', () => {
    const made = established();
    const reply = frame({ arp: { operation: 2, senderIp: '192.128.10.1', targetIp: '192.128.10.2' } });
    const advertisement = frame({
      ip: { src: '2001:db8::9', dst: '2001:db8::1', ttl: 255 },
      icmp: { type: 136 },
      payload: '20010db8000000000000000000000009',
    });
    for (const one of [reply, advertisement]) {
      made.rig.sides({ flags: XDP_FLAG.offload });
      expect(made.program(one, PORT_OUTSIDE).counted).toEqual({ passed: 1 });
      made.rig.sides({ flags: XDP_FLAG.hearOutside });
      expect(made.program(one, PORT_OUTSIDE).counted).toEqual({ noSocket: 1 });
      expect(made.program(one, PORT_INSIDE).counted).toEqual({ passed: 1 });
      made.rig.sides({ flags: XDP_FLAG.hearInside });
      expect(made.program(one, PORT_INSIDE).counted).toEqual({ noSocket: 1 });
    }
  });

  test('a question for a VIP is answered while no process is there, by the MAC of its side, tag and all', () => {
    const made = established();
    made.rig.sides({ outsideVlan: 100 });
    const asked = frame({
      eth: { vlan: 100 },
      arp: { senderIp: '192.128.10.5', targetIp: '200.200.100.1' },
      padding: 14,
    });
    const { action, data } = made.program(asked, PORT_OUTSIDE);
    expect(action).toBe(XDP_TX);
    const [client, own] = [MAC_A.replaceAll(':', ''), hex(OUTSIDE_MAC)];
    expect(hex(data)).toBe(
      `${client}${own}8100006408060001080006040002${own}c8c86401${client}c0800a05${'00'.repeat(14)}`,
    );
    expect(hex(OUTSIDE_MAC)).not.toBe(hex(INSIDE_MAC));
    const question = frame({ arp: { senderIp: '10.10.1.1', targetIp: '200.200.100.1' } });
    expect(made.program(question, PORT_INSIDE).counted).toEqual({ passed: 1 });
  });
});

describe.skipIf(reason !== null)(`spreading over CPUs${need}`, () => {
  test('where a CPU has no queue the packet goes on here', () => {
    const made = established();
    made.rig.sides({ spread: 2 });
    expect(made.program(dataIn()).counted).toMatchObject({ spreadFailed: 1, inToInside: 1 });
  });

  test('a hit goes to the other CPU, anything else does not', () => {
    const made = established();
    const value = new DataView(new ArrayBuffer(8));
    value.setUint32(0, 64, true);
    value.setInt32(4, made.rig.maps.spread, true);
    for (const cpu of [0, 1])
      made.rig.bpf.update(
        made.rig.maps.td_cpus,
        new Uint8Array(Uint32Array.of(cpu).buffer),
        new Uint8Array(value.buffer),
      );
    made.rig.sides({ spread: 2 });
    const { action, data, counted } = made.program(dataIn());
    expect([action, counted]).toEqual([XDP_REDIRECT, { spread: 1 }]);
    expect(hex(data)).toBe(hex(dataIn()));
    expect(made.program(udpFrame(CLIENT, VIP, scccn({ tunnel: 99 }))).counted).toEqual({ noSocket: 1 });
  });
});
