import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import {
  ENTRY,
  ENTRY_WORDS,
  FLAG_REWRITE_CHANNEL,
  FLAG_REWRITE_PORTS,
  RECORD,
  RECORD_WORDS,
} from '../../src/flow/layout.js';
import { native, type RewriterOptions } from '../../src/io/native.js';
import { VERDICT_DROP, VERDICT_RAW } from '../../src/io/port.js';
import { l2tpData, udpFrame, viewOf } from '../helpers/packet-builder.js';
import { Rig } from './rig.js';

const CLIENT = '192.128.10.5';
const VIP = '200.200.100.1';
const SERVER = '10.10.1.1';
const DATA = l2tpData({ tunnel: 7, session: 1, payload: 'ff030021450000' });
/** What `HOP` and port 1 of the rig give every frame. */

/** The frame as it should leave: built anew, with checksums computed in full. */

describe('what is handed over', () => {
  const options = (): RewriterOptions => new Rig().options;
  const make = (changes: object): unknown => new (native().Rewriter)({ ...options(), ...changes });
  test('shared memory works as well', () => {
    const rig = new Rig((length) => new SharedArrayBuffer(length));
    rig.address(1, SERVER);
    rig.entry(0, { address: 1 });
    rig.put(0, udpFrame(`${CLIENT}:1701`, `${VIP}:1701`, DATA));
    rig.rewriter.rewrite(1, 0);
    expect(rig.options.columns.verdict[0]).toBe(VERDICT_RAW);
    expect(rig.word(0, ENTRY.packets)).toBe(1);
  });
  test.each([
    ['no frames', { frames: undefined }, TypeError],
    ['columns that are too short', { columns: { ...options().columns, verdict: new Int32Array(10) } }, RangeError],
    ['columns of another type', { columns: { ...options().columns, verdict: new Float32Array(512) } }, TypeError],
    ['no table', { table: undefined }, TypeError],
    ['a segment beyond the buffer', { table: { ...options().table, slotCount: 1 << 24 } }, RangeError],
    ['a segment that starts anywhere', { table: { ...options().table, entries: 4097 } }, RangeError],
    ['a segment at a negative place', { table: { ...options().table, nextHops: -4096 } }, RangeError],
    ['a counter that the statistics do not have', { counters: { ...options().counters, ttlExpired: 9 } }, RangeError],
    ['statistics of integers', { counters: { ...options().counters, statistics: new BigInt64Array(9) } }, TypeError],
    ['no ports', { ports: [] }, RangeError],
    ['a MAC that is too short', { ports: [{ device: 0, vlan: 0, mac: new Uint8Array(5) }] }, RangeError],
    ['a VLAN that cannot be', { ports: [{ device: 0, vlan: 4095, mac: new Uint8Array(6) }] }, RangeError],
    ['no clock', { clock: new Float64Array(0) }, RangeError],
  ])('%s is refused', (_name, changes, kind) => {
    expect(() => make(changes)).toThrow(kind);
  });
  test('a buffer that is taken away is noticed', () => {
    const rig = new Rig();
    rig.rewriter.rewrite(0, 0);
    structuredClone(rig.options.frames, { transfer: [rig.options.frames] });
    expect(() => rig.rewriter.rewrite(0, 0)).toThrow(/detached/);
    const addon = native();
    const { length } = rig.memory.layout;
    const { fd } = addon.openTable(null, length);
    const buffer = addon.mapTable(fd, length);
    const other = new Rig(undefined, { table: { ...rig.options.table, buffer } });
    other.rewriter.rewrite(0, 0);
    addon.unmapTable(buffer);
    addon.closeFd(fd);
    expect(() => other.rewriter.rewrite(0, 0)).toThrow(/detached/);
  });
  test('a clock that is no time counts as 0', () => {
    const rig = new Rig();
    rig.address(1, SERVER);
    rig.entry(0, { address: 1 });
    for (const clock of [Number.NaN, -1, 1e12]) {
      rig.options.clock[0] = clock;
      rig.one(udpFrame(`${CLIENT}:1701`, `${VIP}:1701`, DATA));
      expect(rig.word(0, ENTRY.lastSeen)).toBe(0);
    }
  });
});

describe('between threads', () => {
  test('an entry that another thread keeps changing is seen as one state or as changed, never as a mixture', async () => {
    const rig = new Rig((length) => new SharedArrayBuffer(length));
    rig.address(1, SERVER);
    rig.entry(0, { address: 1, flags: FLAG_REWRITE_PORTS | FLAG_REWRITE_CHANNEL, ports: 1, record: 1 });
    rig.memory.records[RECORD_WORDS + RECORD.serverChannel] = 1;
    const stop = new Int32Array(new SharedArrayBuffer(4));
    const writer = new Worker(
      `const { workerData: w, parentPort } = require('node:worker_threads');
       const { entries, records, stop } = w;
       for (let round = 1; Atomics.load(stop, 0) === 0; round++) {
         const value = 1 + (round % 0xfff0);
         const version = entries[w.version];
         Atomics.store(entries, w.version, version + 1);
         entries[w.ports] = value;
         records[w.channel] = value;
         Atomics.store(entries, w.version, (version + 2) | 0);
         if (round === 1) parentPort.postMessage('started');
       }`,
      {
        eval: true,
        workerData: {
          entries: rig.memory.entries,
          records: rig.memory.records,
          stop,
          version: ENTRY.version,
          ports: ENTRY.ports,
          channel: RECORD_WORDS + RECORD.serverChannel,
        },
      },
    );
    await new Promise((resolve) => writer.once('message', resolve));
    const given = udpFrame(`${CLIENT}:1701`, `${VIP}:1701`, l2tpData({ tunnel: 7, session: 1, payload: 'ff03' }));
    const field = 42 + (given[42] & 0x40 ? 4 : 2);
    let rewritten = 0;
    for (let round = 0; round < 20_000; round++) {
      const out = rig.one(given);
      if (out.verdict === VERDICT_DROP) continue;
      rewritten++;
      const view = viewOf(out.frame);
      if (view.getUint16(36) !== view.getUint16(field)) expect(view.getUint16(36)).toBe(view.getUint16(field));
    }
    Atomics.store(stop, 0, 1);
    await new Promise((resolve) => writer.once('exit', resolve));
    expect(rewritten + rig.counted('entryChanged')).toBe(20_000);
    expect(rig.word(0, ENTRY.packets)).toBe(rewritten);
    expect(rig.memory.entries.length).toBe(rig.memory.layout.slotCount * ENTRY_WORDS);
  });
});
