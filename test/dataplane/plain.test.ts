/** The short way of `classify` against the long one: whatever the frame, both say the same of it. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Batch, KIND_DATA_IN, KIND_DATA_OUT } from '../../src/dataplane/batch.js';
import { classify } from '../../src/dataplane/classify.js';
import { newStatistics } from '../../src/dataplane/counters.js';
import { Directory } from '../../src/dataplane/directory.js';
import { classifyPlain, KIND_OPEN, type PlainDirectory } from '../../src/dataplane/plain.js';
import { KEY_WORDS } from '../../src/flow/layout.js';
import { PORT_INSIDE, PORT_NONE, PORT_OUTSIDE } from '../../src/io/port.js';
import { FUZZ_RUNS } from '../helpers/fuzz.js';
import { l2tpData, sccrq, udpFrame } from '../helpers/packet-builder.js';
import { CLIENT, Harness, SERVER_1, SERVER_2, TestPort, VIP, vipOf } from '../helpers/shard-harness.js';

const harness = new Harness({
  vips: [
    vipOf({}),
    vipOf({ servers: [{ name: 'lns3', address: SERVER_1, port: 1801 }] }, 'second', VIP, 1702),
    vipOf({ servers: [{ name: 'lns6', address: 'fd00::1' }] }, 'six', '2001:db8::1'),
  ],
});
const directory = new Directory(harness.memory, harness.plan);
const longWayOnly = Object.defineProperty(new Directory(harness.memory, harness.plan), 'plain', { value: null });

/** What classify makes of one frame in column 0, with or without the short way. */
function outcome(frame: Uint8Array, ingress: number, short: boolean) {
  const port = new TestPort(harness.memory);
  const batch = new Batch(port);
  batch.bytes.set(frame, 0);
  port.columns.length[0] = frame.length;
  port.columns.ingress[0] = ingress;
  port.columns.verdict[0] = -1;
  const statistics = newStatistics();
  classify(batch, 0, 1, short ? directory : longWayOnly, statistics);
  const isData = batch.kind[0] === KIND_DATA_IN || batch.kind[0] === KIND_DATA_OUT;
  return {
    kind: batch.kind[0],
    verdict: port.columns.verdict[0],
    statistics: [...statistics],
    // Of what is no data, some columns hold what the long way left there on its way out.
    data: isData && {
      key: [...batch.keys.subarray(0, KEY_WORDS)],
      places: [batch.l3[0], batch.l4[0], batch.end[0], batch.ipProtocol[0], batch.protocol[0], batch.local[0]],
    },
  };
}

function kindOfShortWay(frame: Uint8Array, ingress = PORT_OUTSIDE): number {
  const port = new TestPort(harness.memory);
  const batch = new Batch(port);
  batch.bytes.set(frame, 0);
  port.columns.length[0] = frame.length;
  port.columns.ingress[0] = ingress;
  classifyPlain(batch, 0, 1, directory.plain as PlainDirectory);
  return batch.kind[0];
}

const DATA = l2tpData({ tunnel: 99, session: 1, payload: 'ff030021' });

describe('data packets take the short way', () => {
  test.each([
    ['to a VIP', udpFrame(`${CLIENT}:1701`, `${VIP}:1701`, DATA), KIND_DATA_IN],
    ['to another VIP of the address', udpFrame(`${CLIENT}:4000`, `${VIP}:1702`, DATA), KIND_DATA_IN],
    ['from a server', udpFrame(`${SERVER_2}:1701`, `${CLIENT}:1701`, DATA), KIND_DATA_OUT],
    ['from another port that is a server’s', udpFrame(`${SERVER_1}:1801`, `${CLIENT}:1701`, DATA), KIND_DATA_OUT],
  ])('%s', (_what, frame, kind) => {
    expect(kindOfShortWay(frame)).toBe(kind);
    expect(outcome(frame, PORT_OUTSIDE, true)).toEqual(outcome(frame, PORT_OUTSIDE, false));
  });
});

describe('everything else is left to the long way', () => {
  const cut = udpFrame(`${CLIENT}:1701`, `${VIP}:1701`, DATA);
  test.each([
    ['a request', udpFrame(`${CLIENT}:1701`, `${VIP}:1701`, sccrq({ assigned: 7 }))],
    ['another port of a VIP', udpFrame(`${CLIENT}:1701`, `${VIP}:1703`, DATA)],
    ['another port of a server', udpFrame(`${SERVER_2}:5000`, `${CLIENT}:1701`, DATA)],
    ['strangers', udpFrame(`${CLIENT}:1701`, '192.0.2.1:1701', DATA)],
    ['IPv6', udpFrame('[2001:db8:10::5]:1701', '[2001:db8::1]:1701', DATA)],
    ['tunnel id 0', udpFrame(`${CLIENT}:1701`, `${VIP}:1701`, l2tpData({ tunnel: 0, session: 1, payload: '' }))],
    ['a cut frame', cut.slice(0, 41)],
  ])('%s', (_what, frame) => {
    expect(kindOfShortWay(frame)).toBe(KIND_OPEN);
    expect(outcome(frame, PORT_OUTSIDE, true)).toEqual(outcome(frame, PORT_OUTSIDE, false));
  });

  test('another VLAN of the device', () => expect(kindOfShortWay(cut, PORT_NONE)).toBe(KIND_OPEN));
});

test('any frame, also one that is right but for a few bytes: the same answer on both ways', () => {
  const ends = fc.constantFrom(
    `${CLIENT}:1701`,
    `${VIP}:1701`,
    `${VIP}:1702`,
    `${SERVER_1}:1701`,
    `${SERVER_1}:1801`,
    '10.9.9.9:1701',
  );
  const change = fc.record({ at: fc.nat(60), value: fc.nat(255) });
  const payload = fc.oneof(fc.constant(DATA), fc.constant(sccrq({ assigned: 7 })), fc.uint8Array({ maxLength: 40 }));
  const ingress = fc.constantFrom(PORT_OUTSIDE, PORT_INSIDE, PORT_NONE);
  fc.assert(
    fc.property(
      ends,
      ends,
      payload,
      fc.array(change, { maxLength: 3 }),
      fc.nat(80),
      ingress,
      (from, to, bytes, changes, length, side) => {
        const frame = udpFrame(from, to, bytes);
        for (const { at, value } of changes) if (at < frame.length) frame[at] = value;
        const part = length > 60 ? frame : frame.slice(0, length + 14);
        expect(outcome(part, side, true)).toEqual(outcome(part, side, false));
      },
    ),
    { numRuns: FUZZ_RUNS },
  );
});
