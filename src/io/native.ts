/**
 * The addon, typed. This is the only file that loads it. Everything here is context-aware: it may be used in the main
 * thread and in every worker; resources belong to the thread that made them and are closed when that thread ends.
 */
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { DesignatorError } from '../errors.js';
import type { TableLayout } from '../flow/layout.js';
import type { FrameColumns } from './port.js';
import type { NativeLanAddon } from './lan-native.js';
import type { NativeTunnelAddon } from './tunnel-native.js';

/** Byte offsets of the table segments that the rewriter reads (from `tableLayout`). */
export interface NativeTable {
  readonly buffer: ArrayBuffer;
  readonly entries: number;
  readonly slotCount: number;
  readonly records: number;
  readonly recordCount: number;
  readonly addresses: number;
  readonly nextHops: number;
  /** The header page, whose control words name the virtual MACs that are held; absent: none are. */
  readonly header?: number;
}

/** Slots of the statistics array that native code adds to; the shard is their only other writer. */
export interface NativeCounters {
  /** One Float64Array per shard. */
  readonly statistics: Float64Array;
  readonly entryChanged: number;
  readonly ttlExpired: number;
  readonly neighbourUnresolved: number;
  readonly rewriteFailed: number;
  readonly sendFailed: number;
  readonly receiveRing: number;
  readonly framesReceived: number;
  readonly framesSent: number;
  readonly bytesSent: number;
}

/** One side: which device (index into `devices`) and VLAN tag (0 untagged), and the source MAC of what leaves there. */
export interface NativePort {
  readonly device: number;
  readonly vlan: number;
  readonly mac: Uint8Array;
}

export interface RewriterOptions {
  readonly frames: ArrayBuffer;
  readonly columns: FrameColumns;
  readonly table: NativeTable;
  readonly counters: NativeCounters;
  /** Index = PORT_OUTSIDE, PORT_INSIDE. */
  readonly ports: readonly NativePort[];
  /** [0] seconds: last-seen stamps come from here. */
  readonly clock: Float64Array;
}

/** Rewrites frames in place by table entries; used alone by `memory` and `pcap`. */
export interface Rewriter {
  /** For i in [0, received) and [BATCH_CAPACITY, BATCH_CAPACITY + scratch): verdict ≥ 0 → rewritten, `egress[i]` set, verdict VERDICT_RAW; failure → VERDICT_DROP, counted. */
  rewrite(received: number, scratch: number): void;
}

export interface PacketRingOptions extends Omit<RewriterOptions, 'frames' | 'columns'> {
  /** Distinct devices; one entry with one arm or two VLANs of one parent. `role` steers the fan-out. */
  readonly devices: readonly { readonly name: string; readonly role: 'outside' | 'inside' | 'both' }[];
  /** `group`: the same for all shards of a process, per device `group + index`; -1 no fan-out. `shards`: their number. */
  readonly fanout: { readonly group: number; readonly shards: number };
  /** Bytes, a multiple of 4096 (default 65536): a frame that does not fit is cut off. */
  readonly blockLength?: number;
  /** Per device (default 128): also the milliseconds that a shard may be away under light traffic. */
  readonly blockCount?: number;
  /** Spin this long before poll, microseconds; default 20, at most 10000. */
  readonly spinMicros?: number;
  /** Parent thread's wake-up: an eventfd that ends a poll early; -1 none. */
  readonly wakeFd?: number;
}

export interface PacketRing {
  readonly frames: ArrayBuffer;
  readonly columns: FrameColumns;
  readonly scratchOffset: number;
  turn(received: number, scratch: number, waitMs: number): number;
  rewrite(received: number, scratch: number): void;
  statistics(): { received: number; lost: number };
  close(): void;
}

export interface DecisionTwinOptions {
  readonly frames: ArrayBuffer;
  readonly columns: FrameColumns;
  /** What each frame is, as in `Batch.kind`; BATCH_CAPACITY items at least. */
  readonly kinds: Uint8Array;
  /** Rows of KEY_WORDS words, as in `Batch.keys`; BATCH_CAPACITY rows at least. */
  readonly keys: Int32Array;
  /** The whole table memory and where its segments lie. */
  readonly buffer: ArrayBuffer | SharedArrayBuffer;
  readonly layout: TableLayout;
  /** Where VIPs listen and servers answer: address index and port. */
  readonly vips: readonly { readonly address: number; readonly port: number }[];
  readonly servers: readonly { readonly address: number; readonly port: number }[];
}

/** The decision (classify and recall) in C++ over the same table, for benchmarks and tests. L2TPv2 only. */
export interface DecisionTwin {
  /**
   * Fills `verdict`, `kinds` and `keys` for columns [0, count); returns how many frames got an entry. Frames on ports
   * that neither a VIP nor a server is known by become KIND_HOST.
   */
  decide(count: number): number;
  /** The look-up alone: verdict = slot of the key in the same row, or −1, for rows [0, count). */
  lookUp(count: number): void;
}

type TwinTable = Pick<DecisionTwinOptions, 'buffer' | 'layout' | 'vips' | 'servers'>;

/** With `handle` over AF_XDP, else over AF_PACKET. */
export type ForwardingTwinOptions = TwinTable & (PacketRingOptions | XskRingOptions);

/** The shard's loop in C++ over the same rings and table, for benchmarks: known tunnels only. */
export interface ForwardingTwin {
  /** Forwards for so long (at most 10,000 ms), blocking; returns the number of frames received. */
  run(milliseconds: number): number;
  close(): void;
}

export interface FloodOptions {
  readonly device: string;
  /** `count` beginnings of frames, `frameLength` bytes each; the memory must not change while a run lasts. */
  readonly frames: Uint8Array;
  readonly frameLength: number;
  readonly count: number;
  /** What follows in every frame. */
  readonly tail?: Uint8Array;
}

/** The benchmarks' source of traffic: prepared frames, round robin, over AF_PACKET. */
export interface Flood {
  /** Blocks for `seconds` (at most 60) or until `limit` frames are sent. `ratePps` absent or 0: as fast as it goes. */
  run(order: { readonly seconds: number; readonly ratePps?: number; readonly limit?: number }): {
    sent: number;
    refused: number;
    seconds: number;
  };
  close(): void;
}

/** Raw rtnetlink socket on the main thread; `onReadable` is called from the event loop. */
export interface NetlinkSocket {
  send(message: Uint8Array): void;
  /** One datagram, or null when there is none. Throws ENOBUFS as { code: 'ENOBUFS' }: resynchronise. */
  receive(): Uint8Array | null;
  close(): void;
}

/** Numbers of <linux/bpf.h>. */
export interface BpfMapOrder {
  readonly type: number;
  readonly keyLength: number;
  readonly valueLength: number;
  readonly entries: number;
  readonly flags: number;
  /** At most 15 characters. */
  readonly name: string;
}

export interface BpfLoadOrder {
  /** The object file, as clang makes it. */
  readonly object: Uint8Array;
  /** ELF section of the program: 'xdp', 'xdp/cpumap' … */
  readonly section: string;
  readonly name: string;
  /** 0, or BPF_XDP_CPUMAP for the second program of a cpumap. */
  readonly expectedAttachType: number;
  /** Descriptor of every map that the program names (`struct … name SEC(".maps")`). A missing one is an error. */
  readonly maps: Readonly<Record<string, number>>;
}

/**
 * bpf(2), one method a command. Errors have `code` (errno's name); a refusal of the verifier has `log` besides. Descriptors
 * that are returned are close-on-exec, and the caller's to close. Keys and values must have the map's lengths; a value of a
 * per-CPU map is its length rounded up to 8, times `possibleCpus()`.
 */
export interface NativeBpf {
  createMap(order: BpfMapOrder): number;
  load(order: BpfLoadOrder): number;
  /** Maps that a program of the object names. Throws on anything that is no such object. */
  mapNames(object: Uint8Array, section: string): string[];
  lookUp(map: number, key: Uint8Array, valueLength: number): Uint8Array | null;
  update(map: number, key: Uint8Array, value: Uint8Array): void;
  /** False when there was none. */
  remove(map: number, key: Uint8Array): boolean;
  nextKey(map: number, key: Uint8Array | null, keyLength: number): Uint8Array | null;
  pin(fd: number, path: string): void;
  openPinned(path: string): number;
  mapInfo(fd: number): BpfMapOrder & { readonly id: number };
  programInfo(fd: number): {
    readonly id: number;
    readonly type: number;
    readonly name: string;
    readonly tag: string;
    readonly maps: number[];
  };
  openProgramById(id: number): number;
  openMapById(id: number): number;
  /** XDP on an interface as a bpf_link. `mode`: XDP_FLAGS_DRV_MODE 4, XDP_FLAGS_SKB_MODE 2. EBUSY: another one is there. */
  link(program: number, interfaceIndex: number, mode: number): number;
  /** `type`: BPF_LINK_TYPE_…, 6 is XDP. `interfaceIndex` 0: detached, or the interface has gone. */
  linkInfo(fd: number): {
    readonly id: number;
    readonly type: number;
    readonly program: number;
    readonly interfaceIndex: number;
  };
  updateLink(link: number, program: number): void;
  detachLink(link: number): void;
  /**
   * Runs a program on a packet (14 bytes at least). `repeat` > 1 measures; `live`: BPF_F_TEST_XDP_LIVE_FRAMES, nothing comes
   * back. `ingressInterface` must be up and have native XDP.
   */
  testRun(order: {
    readonly program: number;
    readonly data: Uint8Array;
    readonly ingressInterface?: number;
    readonly queue?: number;
    readonly repeat?: number;
    readonly live?: boolean;
    readonly batch?: number;
  }): { readonly action: number; readonly data: Uint8Array; readonly nanoseconds: number };
  /** CPUs that per-CPU maps have a value for. */
  possibleCpus(): number;
  /**
   * The folder `path` of a bpffs, made where it is missing: on the bpffs that is there already, or, when `mayMount`, on a new
   * one (source `designator`). `process`: as that process sees the file system, 0 this one. `fd` is O_PATH; pins are
   * `/proc/self/fd/N/…`. Null: no bpffs there.
   */
  openBpffs(
    path: string,
    process: number,
    mayMount: boolean,
  ): { readonly fd: number; readonly mounted: boolean } | null;
  /** Takes a bpffs off `path`, and the empty folder. EBUSY: somebody uses it. */
  unmountBpffs(path: string, process: number): void;
}

export interface XskSetOptions {
  /** Distinct devices with their receive queues; index as in NativePort.device. */
  readonly devices: readonly { readonly name: string; readonly queues: number }[];
  readonly shards: number;
  /** Bytes of a frame's place: 2048 or 4096. A frame that is received, its tag included, is at most 256 bytes shorter. */
  readonly chunkLength: number;
  /**
   * Frames for each queue of each device, 512 at least; where all together would be 2 GiB or more, halved until they fit.
   * Half of them lie ready for the kernel; as many may wait for the shards, divided by their number and rounded down to a
   * power of two: so many frames a shard may be away.
   */
  readonly framesPerQueue: number;
  /** XDP_COPY, XDP_ZEROCOPY or 'auto': zero-copy, and copy where the driver refuses. */
  readonly copy: 'auto' | 'copy' | 'zero-copy';
}

/**
 * All AF_XDP sockets of the process and their memory, made by the main thread, so that they outlive a shard's crash.
 * Shards attach by `handle`. One socket per (device, queue, shard), one fill and completion ring per (device, queue).
 */
export interface XskSet {
  /** For `XskRing`, in any thread of the process. */
  readonly handle: number;
  /** Whether the devices got zero-copy, by device. */
  readonly zeroCopy: readonly boolean[];
  /** Index in the socket map: (device * queues + queue) * shards + shard, queues being the largest of the devices'. */
  readonly sockets: readonly { readonly index: number; readonly fd: number }[];
  /**
   * Frames that a dead shard held come back; returns how many. To be called when it is certain that its thread has ended,
   * and before another one attaches. A ring that was closed has given its frames back itself.
   */
  reclaim(shard: number): number;
  /** Frames that nobody uses. */
  free(): number;
  /** Who has the frames: nobody, the kernel to receive into, the kernel to send, each shard. */
  usage(): { frames: number; pool: number; kernel: number; sent: number; held: number[] };
  /** Shards that are still attached find it closed at their next turn (EBADF); the sockets close with the last of them. */
  close(): void;
}

export interface XskRingOptions extends Omit<RewriterOptions, 'frames' | 'columns'> {
  readonly handle: number;
  readonly shard: number;
  readonly spinMicros?: number;
  readonly wakeFd?: number;
}

/** A shard's share of the sockets: the `xdp` adapter's native half. The same as PacketRing to its user. */
export interface XskRing extends PacketRing {}

export interface NativeAddon extends NativeTunnelAddon, NativeLanAddon {
  readonly version: string;
  /** Opens (creates, enlarges to `length` when new) the file at `path`, or a memfd when null. */
  openTable(path: string | null, length: number): { fd: number; created: boolean };
  /** Maps it shared, read-write, into this thread; unmapped when the thread ends or by `unmapTable`. */
  mapTable(fd: number, length: number): ArrayBuffer;
  unmapTable(buffer: ArrayBuffer): void;
  closeFd(fd: number): void;
  /** Holds an exclusive lock of a file (made when absent) or folder until the descriptor is closed. EAGAIN: another has it. */
  lockPath(path: string): number;
  /** _exit(2): for a process with a thread that hangs in native code, where an ordinary exit would join it for ever. */
  exitNow(status: number): never;
  eventFd(): number;
  signalEventFd(fd: number): void;
  Rewriter: new (options: RewriterOptions) => Rewriter;
  PacketRing: new (options: PacketRingOptions) => PacketRing;
  /** Throws with `code` when this thread may not have packet sockets: EPERM without CAP_NET_RAW. */
  probePacketSocket(): void;
  readonly bpf: NativeBpf;
  XskSet: new (options: XskSetOptions) => XskSet;
  XskRing: new (options: XskRingOptions) => XskRing;
  DecisionTwin: new (options: DecisionTwinOptions) => DecisionTwin;
  ForwardingTwin: new (options: ForwardingTwinOptions) => ForwardingTwin;
  Flood: new (options: FloodOptions) => Flood;
  /** Hash, fingerprint, third and fourth hash and owner slot of `keys[0 … 6]`, as C++ computes them (unsigned). */
  hashKey(keys: Int32Array, seed: number): number[];
  NetlinkSocket: new (protocol: number, groups: number, onReadable: () => void) => NetlinkSocket;
  /** sd_notify(3): true when sent, false when there is no NOTIFY_SOCKET. */
  sdNotify(message: string): boolean;
  /** Pins the calling thread; throws on an unknown CPU. */
  pinThread(cpu: number): void;
  /** Kernel thread id and CPU nanoseconds of the calling thread. */
  threadId(): number;
  threadCpuNanos(): number;
  /** CLOCK_MONOTONIC, seconds. */
  monotonicSeconds(): number;
  /** Interface facts by ioctl: index, MAC, MTU, flags. Throws when there is no such device. */
  interfaceInfo(name: string): { index: number; mac: Uint8Array; mtu: number; up: boolean };
}

const here = path.dirname(fileURLToPath(import.meta.url));
let loaded: NativeAddon | undefined;

/** Loads the addon once per thread. Errors: TD_UNAVAILABLE when it has not been built. */
export function native(): NativeAddon {
  if (loaded === undefined) {
    const root = path.resolve(here, '..', '..'); // from src/io and from dist/io alike
    const require = createRequire(import.meta.url);
    try {
      loaded =
        process.env.TD_NATIVE_VARIANT === 'asan'
          ? (require(path.join(root, 'build', 'Release', 'tdnative_asan.node')) as NativeAddon)
          : (require('node-gyp-build')(root) as NativeAddon);
    } catch (cause) {
      throw new DesignatorError('TD_UNAVAILABLE', 'the native addon is not built: run `npm run setup`', {}, cause);
    }
  }
  return loaded;
}
