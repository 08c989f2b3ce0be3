/**
 * What the loader's test does inside its network namespace: one process with at most one XDP program, told by messages
 * what to do and answering with plain data. It is killed when a crash is wanted.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DesignatorError } from '../../src/errors.js';
import { LinkQuery } from '../../src/io/link-query.js';
import { native } from '../../src/io/native.js';
import type { XdpMode } from '../../src/io/xdp-attachment.js';
import { readXdpDevice } from '../../src/io/xdp-features.js';
import { readXdpFacts } from '../../src/io/xdp-probe.js';
import { XdpProgram } from '../../src/io/xdp-program.js';
import { readPinnedTable, unpinAll } from '../../src/io/xdp-unpin.js';

const addon = native();
const device = (name: string) => ({ name, index: addon.interfaceInfo(name).index });
const TABLE_LENGTH = 1 << 16;
/** Of the fixture: what it counts by. */
const WORD = 16;

let program: XdpProgram | null = null;
const opened = (): XdpProgram => {
  if (program === null) throw new Error('nothing is open');
  return program;
};
const words = (): Int32Array => new Int32Array(addon.mapTable(opened().table.fd, TABLE_LENGTH));

export interface OpenOrder {
  readonly pin: string | null;
  readonly outside: string;
  readonly inside: string;
  readonly object?: string;
  readonly mode?: XdpMode;
  readonly tableLength?: number;
  readonly shards?: number;
}

export const commands = {
  open({ pin, outside, inside, object, mode = 'native', tableLength = TABLE_LENGTH, shards = 1 }: OpenOrder) {
    program = XdpProgram.open({
      addon,
      pinPath: pin,
      outside: device(outside),
      inside: device(inside),
      mode,
      tableLength,
      queues: 1,
      shards,
      object: object === undefined ? undefined : readFileSync(object),
    });
    return { found: program.table.found, stories: program.stories, pinned: program.pinned };
  },
  attach: () => opened().attach(),
  detach: () => opened().detach(),
  close: () => opened().close(),
  /** Frames that the fixture has seen: in its table, in its counters. */
  seen: () => ({ table: words()[WORD], counted: opened().counters().slice(0, 2) }),
  mark: (value: number) => {
    words()[WORD + 1] = value;
  },
  marked: () => words()[WORD + 1],
  target: ({ port, name }: { port: number; name: string }) => opened().setDevice(port, device(name).index),
  places: (list: [number, number][]) => opened().setPlaces(new Map(list)),
  cpus: (count: number) => opened().setCpus(count),
  attachment(name: string) {
    const query = new LinkQuery(addon);
    const found = query.attachment(device(name).index);
    query.close();
    return found;
  },
  facts: (name: string) => readXdpDevice(addon, device(name)),
  machine: () => readXdpFacts(addon, device('d0'), device('d1')).refusal,
  unpin: (pin: string) => unpinAll({ addon, pinPath: pin, devices: [device('d0'), device('d1')] }),
  pinnedTable(pin: string) {
    const found = readPinnedTable(addon, pin, [device('d0'), device('d1')]);
    if (found === null) return null;
    addon.closeFd(found.fd);
    return { ...found, fd: 0 };
  },
  /** A program of somebody else. */
  foreign({ object, name }: { object: string; name: string }) {
    const file = readFileSync(object);
    const order = { keyLength: 4, valueLength: 8, entries: 2, flags: 0 };
    const maps = {
      td_table: addon.bpf.createMap({ ...order, type: 2, name: 'stats_a' }),
      td_counters: addon.bpf.createMap({ ...order, type: 6, name: 'stats_b' }),
    };
    const fd = addon.bpf.load({ object: file, section: 'xdp', name: 'stats', expectedAttachType: 0, maps });
    const query = new LinkQuery(addon);
    query.setXdp(device(name).index, fd, 4, -1);
    query.close();
    return addon.bpf.programInfo(fd).id;
  },
  async flood({ name, count }: { name: string; count: number }) {
    const frame = new Uint8Array(60).fill(0xff);
    frame.set([0x88, 0xb5], 12); // an EtherType for experiments: no host says anything to it
    const flood = new addon.Flood({ device: name, frames: frame, frameLength: 60, count: 1 });
    const { sent } = flood.run({ seconds: 10, limit: count, ratePps: 20_000 });
    flood.close();
    await sleep(50);
    return sent;
  },
};
export type Commands = typeof commands;

process.on('message', async ({ name, input }: { name: keyof Commands; input: never }) => {
  try {
    const result = await (commands[name] as (value: never) => unknown)(input);
    process.send?.({ result: result ?? null });
  } catch (error) {
    const { code, message, exitStatus } = error as DesignatorError;
    process.send?.({ error: { code, message, exitStatus } });
  }
});
process.on('disconnect', () => process.exit(0));
process.send?.({ result: 'ready' });
