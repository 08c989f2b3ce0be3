import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { DesignatorError } from '../../src/errors.js';
import { PcapPort, type PcapPortOptions } from '../../src/io/pcap.js';
import { BATCH_CAPACITY, PORT_INSIDE, PORT_OUTSIDE, VERDICT_PASS, VERDICT_RAW } from '../../src/io/port.js';
import { emitPcapHeader, emitPcapRecord, readPcap } from '../../src/wire/pcap.js';
import { newCounters, NO_TABLE, PORTS, standInRewriter } from '../helpers/offline-port.js';
import { concat, frame, hex, viewOf } from '../helpers/packet-builder.js';

let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'pcap-port-'));
});
afterEach(() => fs.rmSync(folder, { recursive: true }));

const file = (name: string): string => path.join(folder, name);
const fromClient = (id: number, vlan?: number): Uint8Array =>
  frame({ eth: { vlan }, ip: { src: '10.0.0.1', dst: '10.0.0.2', id } });
const fromServer = (id: number): Uint8Array => frame({ ip: { src: '10.0.0.2', dst: '10.0.0.1', id } });
/** The last byte of the IPv4 source tells the side. */
const ingressOf: PcapPortOptions['ingressOf'] = (view, offset, length) =>
  length < 34 || view.getUint8(offset + 29) === 1 ? PORT_OUTSIDE : PORT_INSIDE;

type Timed = readonly [seconds: number, nanoseconds: number, frame: Uint8Array];
function capture(records: readonly Timed[]): Uint8Array {
  const header = new Uint8Array(24);
  emitPcapHeader(viewOf(header), 0);
  return concat(
    header,
    ...records.flatMap(([seconds, nanoseconds, data]) => {
      const record = new Uint8Array(16);
      emitPcapRecord(viewOf(record), 0, seconds, nanoseconds, data.length);
      return [record, data];
    }),
  );
}
function open(records: readonly Timed[], more: Partial<PcapPortOptions> = {}) {
  fs.writeFileSync(file('in.pcap'), capture(records));
  return openFile(more);
}
function openFile(more: Partial<PcapPortOptions> = {}) {
  const counters = newCounters();
  const port = new PcapPort({
    table: NO_TABLE,
    counters,
    ports: PORTS,
    createRewriter: standInRewriter,
    input: file('in.pcap'),
    output: file('out.pcap'),
    ingressOf,
    ...more,
  });
  const at = (i: number): string => hex(new Uint8Array(port.frames, port.columns.offset[i], port.columns.length[i]));
  return { port, columns: port.columns, at };
}
/** Runs to the end; every frame gets this verdict. Returns what each turn with frames saw: clock and count. */
function run(port: PcapPort, verdict: number): [clock: number, count: number][] {
  const turns: [number, number][] = [];
  let n = 0;
  for (;;) {
    n = port.turn(n, 0, 0);
    if (n < 0) return turns;
    if (n > 0) turns.push([port.clock[0], n]);
    port.columns.verdict.fill(verdict, 0, n);
  }
}
const written = (name: string) => readPcap(fs.readFileSync(file(name)));
function failure(action: () => unknown): DesignatorError {
  try {
    action();
  } catch (error) {
    return error as DesignatorError;
  }
  throw new Error('no error');
}

describe('frames and time', () => {
  test('in order, with the side that the function tells', () => {
    const { port, columns, at } = open([
      [100, 0, fromClient(1)],
      [100, 10, fromClient(2)],
      [100, 20, fromServer(3)],
    ]);
    expect(port.turn(0, 0, 0)).toBe(2);
    expect([at(0), at(1)]).toEqual([hex(fromClient(1)), hex(fromClient(2))]);
    expect(columns.ingress[0]).toBe(PORT_OUTSIDE);
    expect(port.turn(0, 0, 0)).toBe(1);
    expect([at(0), columns.ingress[0]]).toEqual([hex(fromServer(3)), PORT_INSIDE]);
    expect(port.turn(0, 0, 0)).toBe(-1);
    port.close();
  });
  test('the clock begins at 1 s and follows the time stamps, to the nanosecond', () => {
    const { port } = open([
      [1_700_000_000, 999_999_999, fromClient(1)],
      [1_700_000_001, 0, fromServer(2)],
      [1_700_000_001, 500_000_000, fromClient(3)],
    ]);
    expect(run(port, VERDICT_PASS).map(([clock]) => Math.round((clock - 1) * 1e9))).toEqual([0, 1, 500_000_001]);
    port.close();
  });
  test('a batch: one side, within a millisecond', () => {
    const ms = 1_000_000;
    const { port } = open([
      [5, 0, fromClient(1)],
      [5, ms, fromClient(2)],
      [5, ms + 1, fromClient(3)],
      [5, ms + 2, fromServer(4)],
      [5, ms + 3, fromClient(5)],
    ]);
    expect(run(port, VERDICT_PASS).map(([, count]) => count)).toEqual([2, 1, 1, 1]);
    port.close();
  });
  test('more than a batch at one time', () => {
    const { port } = open(Array.from({ length: BATCH_CAPACITY + 1 }, (_, id) => [5, 0, fromClient(id)] as const));
    expect(run(port, VERDICT_PASS).map(([, count]) => count)).toEqual([BATCH_CAPACITY, 1]);
    port.close();
  });
  test('a silence passes in steps of a second, without frames', () => {
    const { port } = open([
      [5, 0, fromClient(1)],
      [8, 500_000_000, fromClient(2)],
    ]);
    const seen: [number, number][] = [];
    for (let n = port.turn(0, 0, 0); n >= 0; n = port.turn(0, 0, 0)) seen.push([port.clock[0], n]);
    expect(seen).toEqual([
      [1, 1],
      [2, 0],
      [3, 0],
      [4, 0],
      [4.5, 1],
    ]);
    port.close();
  });
  test('odd time stamps: fifty years take 3,600 steps, and the clock never goes back', () => {
    const { port } = open([
      [0, 0, fromClient(1)],
      [1_700_000_000, 0, fromClient(2)],
      [5, 0, fromClient(3)],
    ]);
    let turns = 0;
    let before = 0;
    for (let n = port.turn(0, 0, 0); n >= 0; n = port.turn(0, 0, 0)) {
      expect(port.clock[0]).toBeGreaterThanOrEqual(before);
      before = port.clock[0];
      turns++;
    }
    expect(turns).toBeLessThan(3_610);
    expect(before).toBe(1_700_000_001);
    port.close();
  });
  test('an empty capture ends at once and leaves an empty capture', () => {
    const { port } = open([]);
    expect(port.turn(0, 0, 0)).toBe(-1);
    port.close();
    expect(written('out.pcap')).toEqual([]);
  });
  test('captures larger than the read buffer, frames of all sizes', () => {
    const records = Array.from(
      { length: 900 },
      (_, i) => [5, i * 1000, new Uint8Array(i === 450 ? 262_144 : 40 + ((i * 7919) % 3000)).fill(i & 0xff)] as const,
    );
    const { port } = open(records, { ingressOf: () => PORT_OUTSIDE });
    run(port, 0);
    port.close();
    expect(written('out.pcap').map(({ frame: data }) => hex(data.subarray(0, 40)) + data.length)).toEqual(
      records.map(([, , data]) => hex(data.subarray(0, 40)) + data.length),
    );
  });
});

describe('what is written', () => {
  test('sent frames with their own time and the tag of their port, not what is dropped or passed', () => {
    const { port, columns } = open(
      [
        [5, 1, fromClient(1)],
        [5, 2, fromClient(2)],
        [5, 3, fromClient(3)],
      ],
      { passed: file('passed.pcap') },
    );
    expect(port.turn(0, 0, 0)).toBe(3);
    columns.verdict.set([0, VERDICT_PASS, 1]);
    expect(port.turn(3, 0, 0)).toBe(-1);
    port.close();
    const tagged = fromClient(3, 100);
    tagged[0] = 0xee;
    expect(written('out.pcap')).toEqual([
      { seconds: 5 + 1e-9, frame: fromClient(1), originalLength: 34 },
      { seconds: 5 + 3e-9, frame: tagged, originalLength: 38 },
    ]);
    expect(written('passed.pcap')).toEqual([{ seconds: 5 + 2e-9, frame: fromClient(2), originalLength: 34 }]);
  });
  test('a tag is told to the function and comes back on what passes', () => {
    const told: number[] = [];
    const { port, at } = open(
      [
        [5, 0, fromClient(1, 7)],
        [5, 0, fromClient(2)],
      ],
      {
        passed: file('passed.pcap'),
        ingressOf: (_view, _offset, _length, vlan) => {
          told.push(vlan);
          return PORT_OUTSIDE;
        },
      },
    );
    port.turn(0, 0, 0);
    expect(at(0)).toBe(hex(fromClient(1)));
    expect(told).toEqual([7, 0]);
    port.columns.verdict.fill(VERDICT_PASS);
    port.turn(2, 0, 0);
    port.close();
    expect(written('passed.pcap').map((record) => hex(record.frame))).toEqual([
      hex(fromClient(1, 7)),
      hex(fromClient(2)),
    ]);
  });
  test('a frame made here bears the time of the last one that came', () => {
    const { port, columns } = open([[5, 9, fromClient(1)]]);
    port.turn(0, 0, 0);
    columns.verdict[0] = VERDICT_PASS;
    columns.verdict[BATCH_CAPACITY] = VERDICT_RAW;
    columns.egress[BATCH_CAPACITY] = PORT_OUTSIDE;
    columns.offset[BATCH_CAPACITY] = port.scratchOffset;
    columns.length[BATCH_CAPACITY] = 14;
    port.turn(1, 1, 0);
    port.close();
    expect(written('out.pcap')).toEqual([{ seconds: 5 + 9e-9, frame: new Uint8Array(14), originalLength: 14 }]);
  });
  test('an existing file is replaced, whatever its length', () => {
    fs.writeFileSync(file('out.pcap'), new Uint8Array(10_000));
    const { port } = open([[5, 0, fromClient(1)]]);
    run(port, 0);
    port.close();
    port.close();
    expect(written('out.pcap')).toHaveLength(1);
  });
});

describe('what cannot be replayed', () => {
  test('a file that ends inside a record: every whole frame goes through, then an error with the place', () => {
    const whole = capture([
      [5, 0, fromClient(1)],
      [5, 0, fromClient(2)],
    ]);
    fs.writeFileSync(file('in.pcap'), whole.subarray(0, whole.length - 1));
    const { port } = openFile();
    const error = failure(() => run(port, 0));
    expect([error.code, error.exitStatus, error.context.position]).toEqual(['TD_USAGE', 64, 74]);
    expect(error.message).toBe(`${file('in.pcap')}: the file ends at byte 123, inside the record at byte 74`);
    port.close();
    expect(written('out.pcap').map((record) => hex(record.frame))).toEqual([hex(fromClient(1))]);
  });
  test('a record in the middle that is no record', () => {
    const broken = capture([
      [5, 0, fromClient(1)],
      [5, 0, fromClient(2)],
    ]);
    broken.fill(0xff, 82, 86);
    fs.writeFileSync(file('in.pcap'), broken);
    const { port } = openFile();
    expect(failure(() => run(port, 0)).message).toContain('byte 74: a frame of 4294967295 bytes');
    port.close();
  });
  test('no capture, pcapng, another link type, no such file: TD_USAGE with the name, and no output file', () => {
    const linux = capture([]);
    linux[20] = 113;
    for (const [data, message] of [
      [new Uint8Array(40).fill(0x41), 'not a pcap file'],
      [Uint8Array.of(0x0a, 0x0d, 0x0d, 0x0a, ...new Uint8Array(30)), 'pcapng'],
      [linux, 'link type 113; only Ethernet (1) can be read'],
      [new Uint8Array(0), 'inside the pcap header, after 0 of 24 bytes'],
    ] as const) {
      fs.writeFileSync(file('in.pcap'), data);
      const error = failure(openFile);
      expect(error.code).toBe('TD_USAGE');
      expect(error.message).toContain(file('in.pcap'));
      expect(error.message).toContain(message);
    }
    fs.rmSync(file('in.pcap'));
    expect(failure(openFile)).toMatchObject({ code: 'TD_USAGE', context: { code: 'ENOENT' } });
    expect(fs.readdirSync(folder)).toEqual([]);
  });
  test('input, output and passed must be three files; the input is left as it is', () => {
    const before = capture([[5, 0, fromClient(1)]]);
    fs.writeFileSync(file('in.pcap'), before);
    fs.symlinkSync('in.pcap', file('link.pcap'));
    expect(failure(() => openFile({ output: file('link.pcap') })).message).toContain('is the same file as');
    expect(failure(() => openFile({ passed: file('in.pcap') })).code).toBe('TD_USAGE');
    expect(failure(() => openFile({ passed: file('out.pcap') })).code).toBe('TD_USAGE');
    expect(hex(fs.readFileSync(file('in.pcap')))).toBe(hex(before));
  });
  test('an output folder that is not there', () => {
    fs.writeFileSync(file('in.pcap'), capture([]));
    expect(failure(() => openFile({ output: file('none/out.pcap') })).code).toBe('TD_USAGE');
  });
});
