import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import {
  CAPTURES_MAX,
  CaptureHub,
  type OpenCapture,
  PcapLimiter,
  pcapHeader,
  pcapngHeader,
  pcapRecord,
} from '../../src/ops/capture.js';
import { pcapngPacket } from '../../src/wire/pcapng.js';

const frame = (byte: number, length = 60) => new Uint8Array(length).fill(byte);

function collect(stream: { onData(listener: (chunk: Uint8Array) => void): void }) {
  const chunks: Uint8Array[] = [];
  stream.onData((chunk) => chunks.push(chunk));
  return () => Buffer.concat(chunks);
}

test('file header: microseconds, version 2.4, Ethernet', () => {
  expect(Buffer.from(pcapHeader()).toString('hex')).toBe(
    'd4c3b2a1020004000000000000000000000004000100 0000'.replace(' ', ''),
  );
});

test.each([
  [1_700_000_000.25, 1_700_000_000, 250_000],
  [1_700_000_000.9999999, 1_700_000_001, 0],
  [0, 0, 0],
])('record header of second %d', (seconds, whole, micros) => {
  const record = Buffer.from(pcapRecord(frame(7, 3), seconds, 1500));
  expect([0, 4, 8, 12].map((at) => record.readUInt32LE(at))).toEqual([whole, micros, 3, 1500]);
  expect([...record.subarray(16)]).toEqual([7, 7, 7]);
});

test('the header comes at once, frames with the next flush, joined into one chunk', () => {
  const hub = new CaptureHub();
  const stream = hub.open();
  const sizes: number[] = [];
  stream.onData((chunk) => sizes.push(chunk.length));
  expect(sizes).toEqual([24]);
  hub.publish(frame(1), 1);
  hub.publish(frame(2), 2);
  expect(sizes).toEqual([24]);
  hub.flush();
  expect(sizes).toEqual([24, 152]);
});

test('a frame is copied: its buffer may be used again at once', () => {
  const hub = new CaptureHub();
  const bytes = collect(hub.open());
  const buffer = frame(1);
  hub.publish(buffer, 1);
  buffer.fill(99);
  hub.flush();
  expect([...bytes().subarray(40)]).toEqual([...frame(1)]);
});

test('frames are delivered without a call of flush', async () => {
  const hub = new CaptureHub();
  const bytes = collect(hub.open());
  hub.publish(frame(1), 1);
  await new Promise((resolve) => setImmediate(resolve));
  expect(bytes().length).toBe(24 + 76);
});

test('each capture gets the frames whose mask names it, and the role learns who captures', () => {
  const changes: OpenCapture[][] = [];
  const hub = new CaptureHub({ onChange: (captures) => changes.push([...captures]) });
  const first = hub.open({ tunnel: 11 });
  const second = hub.open({ client: '10.0.0.1:1701' });
  const [firstBytes, secondBytes] = [collect(first), collect(second)];
  hub.publish(frame(1), 1, 0b01);
  hub.publish(frame(2), 1, 0b10);
  hub.publish(frame(3), 1, 0b11);
  hub.publish(frame(4), 1, 0b100);
  hub.flush();
  expect([firstBytes()[40], firstBytes()[40 + 76], firstBytes().length]).toEqual([1, 3, 24 + 152]);
  expect([secondBytes()[40], secondBytes()[40 + 76], secondBytes().length]).toEqual([2, 3, 24 + 152]);
  first.close();
  expect(changes).toEqual([
    [{ slot: 0, filter: { tunnel: 11 } }],
    [
      { slot: 0, filter: { tunnel: 11 } },
      { slot: 1, filter: { client: '10.0.0.1:1701' } },
    ],
    [{ slot: 1, filter: { client: '10.0.0.1:1701' } }],
  ]);
  expect(hub.active).toBe(true);
  second.close();
  expect(hub.active).toBe(false);
});

test('a paused capture keeps up to its limit and counts what it loses; others lose nothing', () => {
  const hub = new CaptureHub({ bufferLimitBytes: 24 + 76 * 3 });
  const slow = hub.open();
  slow.pause();
  const slowBytes = collect(slow);
  const quickBytes = collect(hub.open());
  for (let i = 0; i < 5; i++) {
    hub.publish(frame(i), i);
    hub.flush();
  }
  expect(slow.dropped()).toBe(2);
  expect(slowBytes().length).toBe(0);
  expect(quickBytes().length).toBe(24 + 5 * 76);
  slow.resume();
  expect(slowBytes().length).toBe(24 + 3 * 76);
  hub.publish(frame(9), 9);
  hub.flush();
  expect(slowBytes().length).toBe(24 + 4 * 76);
  hub.lost(7, 0b01);
  expect(slow.dropped()).toBe(9);
});

test('a paused capture that is closed delivers what it kept, then ends, once', () => {
  const hub = new CaptureHub();
  const stream = hub.open();
  const bytes = collect(stream);
  let ends = 0;
  stream.onEnd(() => ends++);
  stream.pause();
  hub.publish(frame(1), 1);
  stream.close();
  stream.close();
  hub.publish(frame(2), 2);
  expect([ends, bytes().length]).toEqual([0, 24]);
  stream.resume();
  expect([ends, bytes().length]).toEqual([1, 24 + 76]);
  stream.resume();
  expect(ends).toBe(1);
});

test('captures have a limit; a place that is freed is given again', () => {
  const hub = new CaptureHub();
  const streams = Array.from({ length: CAPTURES_MAX }, () => hub.open());
  expect(() => hub.open()).toThrow(expect.objectContaining({ code: 'TD_CONFLICT' }));
  streams[5].close();
  hub.open({ tunnel: 1 });
  expect(hub.captures().find(({ filter }) => filter.tunnel === 1)?.slot).toBe(5);
  hub.close();
  expect(hub.active).toBe(false);
});

describe('PcapLimiter', () => {
  test('cuts after its count, wherever the chunks are cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 12 }),
        fc.integer({ min: 1, max: 14 }),
        fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 20 }),
        (lengths, limit, cuts) => {
          const records = lengths.map((length, i) => pcapRecord(frame(i, length), i));
          const whole = Buffer.concat([pcapHeader(), ...records]);
          const limiter = new PcapLimiter(limit);
          const passed: Uint8Array[] = [];
          for (let offset = 0, turn = 0; offset < whole.length; turn++) {
            const end = Math.min(whole.length, offset + cuts[turn % cuts.length]);
            passed.push(limiter.take(whole.subarray(offset, end)));
            offset = end;
          }
          const expected = Buffer.concat([pcapHeader(), ...records.slice(0, limit)]);
          expect(Buffer.concat(passed)).toEqual(expected);
          expect(limiter.records).toBe(Math.min(limit, lengths.length));
          expect(limiter.done).toBe(lengths.length >= limit);
        },
      ),
      { numRuns: Number(process.env.FUZZ_RUNS ?? 200) },
    );
  });
});

function hasTcpdump(): boolean {
  try {
    execFileSync('tcpdump', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

test.skipIf(!hasTcpdump())('tcpdump reads it (skipped where tcpdump is not installed)', () => {
  const hub = new CaptureHub();
  const bytes = collect(hub.open());
  // Ethernet, IPv4 10.0.0.1 → 10.0.0.2, UDP 1701 → 1701, an L2TP control message of tunnel 7 without AVPs (ZLB).
  const zlb =
    '02000000000102000000000208004500002800000000401166c30a0000010a00000206a506a50014 0000c802000c0007000000010002';
  hub.publish(Buffer.from(zlb.replace(' ', ''), 'hex'), 1_700_000_000.5);
  hub.flush();
  const text = execFileSync('tcpdump', ['-n', '-tt', '-r', '-'], {
    input: bytes(),
    stdio: ['pipe', 'pipe', 'ignore'],
  }).toString();
  expect(text).toMatch(/^1700000000\.500000 IP 10\.0\.0\.1\.1701 > 10\.0\.0\.2\.1701:.*l2tp.*\(7\/0\)/);
});

describe('pcapng', () => {
  const interfaces = [
    { name: 'wan0', description: 'outside' },
    { name: 'lan0', description: 'inside' },
  ];
  const frame = (length: number) => new Uint8Array(length).fill(length);
  const note = (comment: string) => () => ({ port: 1, outbound: true, comment });

  it('goes beside pcap to those who asked for it, and only then is a note put into words', () => {
    const hub = new CaptureHub({ interfaces });
    const classic: Uint8Array[] = [];
    hub.open().onData((chunk) => classic.push(chunk));
    let asked = 0;
    const describeIt = () => {
      asked++;
      return { port: 0, outbound: false, comment: 'c' };
    };
    hub.publish(frame(60), 1, undefined, 60, describeIt);
    expect(asked).toBe(0);
    const annotated: Uint8Array[] = [];
    hub.open({}, 'pcapng').onData((chunk) => annotated.push(chunk));
    hub.open({}, 'pcapng').onData(() => {});
    hub.publish(frame(60), 2, undefined, 60, describeIt);
    hub.flush();
    expect(asked).toBe(1);
    expect(Buffer.concat(classic)).toEqual(
      Buffer.concat([pcapHeader(), pcapRecord(frame(60), 1), pcapRecord(frame(60), 2)]),
    );
    expect(Buffer.concat(annotated)).toEqual(
      Buffer.concat([pcapngHeader(interfaces), pcapngPacket(0, 2, frame(60), 'c', false)]),
    );
  });

  it('says at its end how many frames are missing', () => {
    const hub = new CaptureHub({ interfaces, bufferLimitBytes: 400 });
    const stream = hub.open({}, 'pcapng');
    const chunks: Uint8Array[] = [];
    for (let n = 0; n < 5; n++) hub.publish(frame(100), n, undefined, 100, note('x'));
    stream.onData((chunk) => chunks.push(chunk));
    stream.close();
    expect(stream.dropped()).toBeGreaterThan(0);
    expect(Buffer.concat(chunks).toString('latin1')).toContain(`${stream.dropped()} frames are missing`);
  });

  it.each([1, 3, 7, 64, 100_000])('is cut after a number of frames, in chunks of %i bytes', (size) => {
    const bytes = Buffer.concat([
      pcapngHeader(interfaces),
      ...[60, 61, 62, 63].map((length) => pcapngPacket(0, 1, frame(length), 'words', false)),
    ]);
    const wanted = Buffer.concat([
      pcapngHeader(interfaces),
      ...[60, 61].map((length) => pcapngPacket(0, 1, frame(length), 'words', false)),
    ]);
    const limiter = new PcapLimiter(2, 'pcapng');
    const got: Uint8Array[] = [];
    for (let at = 0; at < bytes.length && !limiter.done; at += size)
      got.push(limiter.take(bytes.subarray(at, at + size)));
    expect(Buffer.concat(got)).toEqual(wanted);
    const counter = new PcapLimiter(Number.POSITIVE_INFINITY, 'pcapng');
    counter.take(bytes);
    expect(counter.records).toBe(4);
  });
});
