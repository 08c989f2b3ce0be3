/**
 * The wires of packet-wire.ts with AF_XDP sockets at `d0` and `d1`, and a program there that gives each frame to the shard
 * that its source MAC names.
 */
import { readFileSync } from 'node:fs';
import { type NativeCounters, native, type XskSet, type XskSetOptions } from '../../src/io/native.js';
import { PORT_INSIDE, PORT_OUTSIDE, type PacketPort } from '../../src/io/port.js';
import { openXdpPort, openXskSet } from '../../src/io/xdp.js';
import { newCounters } from './offline-port.js';
import { HandMadeTable, macOf } from './packet-wire.js';

const ARRAY = 2;
const XSKMAP = 17;
const DRIVER_MODE = 4;

const u32 = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer);

export interface XskWireOptions {
  /** The compiled steering program. */
  readonly object: string;
  readonly queues?: number;
  readonly shards?: number;
  readonly framesPerQueue?: number;
  readonly copy?: XskSetOptions['copy'];
  /** Outside, inside. */
  readonly vlans?: readonly [number, number];
}

export interface Shard {
  readonly port: PacketPort;
  readonly counters: NativeCounters;
}

/** Sockets on `devices`, for `shards` shards. */
export function openSet(options: Omit<XskWireOptions, 'object'>, devices = ['d0', 'd1']): XskSet {
  const { queues = 1, shards = 1, framesPerQueue = 1024, copy = 'auto' } = options;
  return openXskSet({
    devices: devices.map((name) => ({ name, queues })),
    shards,
    chunkLength: 2048,
    framesPerQueue,
    copy,
  });
}

/** One shard's port on the sockets of `handle`. */
export function openShard(
  table: HandMadeTable,
  handle: number,
  shard: number,
  vlans: readonly [number, number] = [0, 0],
  wakeFd = -1,
): Shard {
  const counters = newCounters();
  const port = openXdpPort(
    {
      handle,
      shard,
      table: table.native,
      counters,
      ports: [
        { device: PORT_OUTSIDE, vlan: vlans[0], mac: macOf('d0') },
        { device: PORT_INSIDE, vlan: vlans[1], mac: macOf('d1') },
      ],
      clock: new Float64Array(1),
      wakeFd,
    },
    'xdp',
  );
  return { port, counters };
}

export class XskWire {
  readonly table = new HandMadeTable();
  readonly set: XskSet;
  readonly shards: Shard[];
  readonly #fds: number[] = [];
  readonly #vlans: readonly [number, number];

  /** `attached`: the shards that this thread opens ports for; by default all. */
  constructor(options: XskWireOptions, attached?: readonly number[]) {
    const { object, queues = 1, shards = 1, vlans = [0, 0] } = options;
    const { bpf, interfaceInfo } = native();
    this.#vlans = vlans;
    this.set = openSet(options);
    const sockets = this.#map('td_sockets', XSKMAP, 2 * queues * shards);
    for (const { index, fd } of this.set.sockets) bpf.update(sockets, u32(index), u32(fd));
    ['d0', 'd1'].forEach((name, device) => {
      const words = this.#map('td_words', ARRAY, 3);
      [device, queues, shards].forEach((value, i) => bpf.update(words, u32(i), u32(value)));
      const program = bpf.load({
        object: readFileSync(object),
        section: 'xdp',
        name: 'steer',
        expectedAttachType: 0,
        maps: { td_sockets: sockets, td_words: words },
      });
      this.#fds.push(program, bpf.link(program, interfaceInfo(name).index, DRIVER_MODE));
    });
    this.shards = (attached ?? Array.from({ length: shards }, (_, shard) => shard)).map((shard) => this.open(shard));
  }

  #map(name: string, type: number, entries: number): number {
    const fd = native().bpf.createMap({ name, type, keyLength: 4, valueLength: 4, entries, flags: 0 });
    this.#fds.push(fd);
    return fd;
  }

  open(shard: number): Shard {
    return openShard(this.table, this.set.handle, shard, this.#vlans);
  }

  close(): void {
    for (const { port } of this.shards) port.close();
    this.set.close();
    for (const fd of this.#fds) native().closeFd(fd);
    this.table.close();
  }
}
