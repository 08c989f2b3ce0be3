/**
 * The XDP program as the process sees it: its maps, the program on both interfaces, and the pins by which all of that
 * outlives the process. `open` finds or makes everything but changes nothing that forwards; `attach` makes it count.
 */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { DesignatorError } from '../errors.js';
import { ATTACH_CPUMAP, type BpfFailure, bpfError, u32 } from './bpf.js';
import { openPinFolder, type PinFolder } from './bpffs.js';
import { LinkQuery } from './link-query.js';
import type { NativeAddon, NativeBpf } from './native.js';
import { PROGRAM_NAME, XdpAttachment, type XdpDevice, type XdpMode } from './xdp-attachment.js';
import { readXdpCounters } from './xdp-counters.js';
import { DenyMap } from './xdp-deny.js';
import {
  findMaps,
  mapOrders,
  PLACE_LIMIT,
  pinName,
  sameMap,
  XDP_MAPS,
  type XdpMapName,
  type XdpMaps,
} from './xdp-maps.js';

export const PROGRAM_PIN = 'prog';
export const LINK_PINS = ['link-outside', 'link-inside'] as const;

/** Frames that may wait for another CPU. */
const CPU_QUEUE = 2048;
const SPREAD_NAME = 'td_spread';

export type XdpAddon = Pick<NativeAddon, 'bpf' | 'closeFd' | 'lockPath' | 'NetlinkSocket'>;

export interface XdpProgramOptions {
  readonly addon: XdpAddon;
  /** `state.pin`; null: nothing is pinned. */
  readonly pinPath: string | null;
  /** The same twice with one arm and with two VLANs of one parent. */
  readonly outside: XdpDevice;
  readonly inside: XdpDevice;
  readonly mode: XdpMode;
  /** Bytes. */
  readonly tableLength: number;
  /** The largest number of a device's receive queues, as the table's control words have it. */
  readonly queues: number;
  readonly shards: number;
  /** The object file; default: the one that was built with the product. */
  readonly object?: Uint8Array;
  /** Default: where `openPinFolder` finds or makes it. */
  readonly pins?: PinFolder;
}

const here = path.dirname(fileURLToPath(import.meta.url));

/** The program's object: built here, or shipped. Errors: TD_UNAVAILABLE. */
export function readObject(): Uint8Array {
  const root = path.resolve(here, '..', '..');
  for (const folder of ['build/bpf', 'native/bpf/prebuilt']) {
    const file = path.join(root, folder, 'designator.o');
    if (fs.existsSync(file)) return fs.readFileSync(file);
  }
  throw new DesignatorError('TD_UNAVAILABLE', 'the XDP program is not built: run `npm run setup`');
}

/** A lock on the folder of pins: two processes must not write into one table. Errors: TD_CONFLICT. */
export function lockPins(addon: Pick<NativeAddon, 'lockPath'>, pins: PinFolder): number {
  try {
    return addon.lockPath(pins.path);
  } catch (cause) {
    const facts = { pin: pins.shown };
    if ((cause as BpfFailure).code !== 'EAGAIN') throw bpfError(cause, `locking ${pins.shown}`, facts);
    throw new DesignatorError('TD_CONFLICT', `another designator uses the pins in ${pins.shown}`, facts, cause);
  }
}

export class XdpProgram {
  /** `found`: another process made it, and its program may be forwarding by it at this moment. */
  readonly table: { readonly fd: number; readonly found: boolean };
  readonly deny: DenyMap;
  readonly pins: PinFolder;
  /** Sentences for the log: where it is pinned, what was found, what was cleaned up. */
  readonly stories: readonly string[];
  readonly #addon: XdpAddon;
  readonly #bpf: NativeBpf;
  readonly #maps: XdpMaps;
  readonly #mode: XdpMode;
  readonly #query: LinkQuery;
  readonly #attachments: readonly XdpAttachment[];
  readonly #program: number;
  readonly #spread: number;
  #lock: number;
  #open = true;

  private constructor(options: XdpProgramOptions, parts: Parts) {
    this.#addon = options.addon;
    this.#bpf = options.addon.bpf;
    this.#mode = options.mode;
    this.#maps = parts.maps as XdpMaps;
    this.#query = parts.query as LinkQuery;
    this.#attachments = parts.attachments;
    this.#program = parts.program;
    this.#spread = parts.spread;
    this.#lock = parts.lock;
    this.pins = parts.pins;
    this.stories = parts.stories;
    this.table = { fd: this.#maps.td_table, found: parts.tableFound };
    this.deny = new DenyMap(this.#bpf, this.#maps.td_deny);
  }

  /**
   * Finds what another process left, makes what is missing and loads the program; nothing is attached or pinned yet.
   * Errors: TD_CONFLICT (a living designator, a foreign program, a pinned table of another size), TD_UNAVAILABLE,
   * TD_NO_PERMISSION.
   */
  static open(options: XdpProgramOptions): XdpProgram {
    const { addon } = options;
    const pins = options.pins ?? (options.pinPath === null ? unpinned() : openPinFolder(addon, options.pinPath));
    const parts = new Parts(addon, pins);
    try {
      parts.gather(options);
      return new XdpProgram(options, parts);
    } catch (error) {
      parts.close();
      throw bpfError(error, 'preparing the XDP program');
    }
  }

  /** Where it is attached by netlink because nothing can be pinned. */
  get pinned(): boolean {
    return this.pins.kind !== 'none';
  }

  /**
   * Pins maps and program, and puts the program on the interfaces; where one of ours is already it is exchanged between
   * two packets, or left when it is the same. Errors: TD_UNAVAILABLE (what the driver lacks), TD_CONFLICT.
   */
  attach(): void {
    this.#pinAll();
    for (const attachment of this.#attachments) {
      if (attachment.kind === 'none' || !this.#isCurrent(attachment)) attachment.attach(this.#program, this.#mode);
    }
  }

  /**
   * Whether the drivers take the program, before anything depends on it: what they say of themselves leaves out the MTU of
   * a veth's far end, or that there are too few transmit queues. Errors: as `attach`.
   */
  rehearse(): void {
    for (const attachment of this.#attachments) attachment.rehearse(this.#program, this.#mode);
  }

  /** The same instructions on the same maps, in the wanted mode. */
  #isCurrent(attachment: XdpAttachment): boolean {
    return attachment.mode === this.#mode && this.#sameProgram(attachment.program, this.#program);
  }

  #sameProgram(a: number, b: number): boolean {
    const one = this.#bpf.programInfo(a);
    const two = this.#bpf.programInfo(b);
    return one.tag === two.tag && String([...one.maps].sort()) === String([...two.maps].sort());
  }

  /** A pin of another object is replaced in one step, so that there is one at any moment. */
  #pinAll(): void {
    if (!this.pinned) return;
    const pin = (fd: number, name: string, same: (pinned: number) => boolean): void => {
      const place = `${this.pins.path}/${name}`;
      const part = `${place}-new`;
      const old = openOrNull(this.#bpf, place);
      if (old !== null) {
        const keep = same(old);
        this.#addon.closeFd(old);
        if (keep) return;
      }
      fs.rmSync(part, { force: true }); // of a process that died here
      this.#bpf.pin(fd, part);
      fs.renameSync(part, place);
    };
    try {
      for (const name of XDP_MAPS) {
        const { id } = this.#bpf.mapInfo(this.#maps[name]);
        pin(this.#maps[name], pinName(name), (pinned) => this.#bpf.mapInfo(pinned).id === id);
      }
      pin(this.#program, PROGRAM_PIN, (pinned) => this.#sameProgram(pinned, this.#program));
    } catch (error) {
      throw bpfError(error, `pinning in ${this.pins.shown}`, { pin: this.pins.shown });
    }
  }

  /** Index as in `XskSet.sockets`. */
  setSocket(index: number, fd: number): void {
    this.#bpf.update(this.#maps.td_sockets, u32(index), u32(fd));
  }

  clearSocket(index: number): void {
    this.#bpf.remove(this.#maps.td_sockets, u32(index));
  }

  /** The interface behind PORT_OUTSIDE or PORT_INSIDE. */
  setDevice(port: number, interfaceIndex: number): void {
    this.#bpf.update(this.#maps.td_devices, u32(port), u32(interfaceIndex));
  }

  /**
   * All places: address index << 16 | port → ADDRESS_ROLE bits. New ones are entered before old ones go. Errors:
   * RangeError, too many.
   */
  setPlaces(places: ReadonlyMap<number, number>): void {
    if (places.size > PLACE_LIMIT / 2) throw new RangeError(`${places.size} places; ${PLACE_LIMIT / 2} are the limit`);
    const map = this.#maps.td_places;
    for (const [place, role] of places) this.#bpf.update(map, u32(place >>> 0), u32(role));
    const gone: Uint8Array[] = [];
    const wanted = new Set([...places.keys()].map((place) => place >>> 0));
    let key = this.#bpf.nextKey(map, null, 4);
    for (let seen = 0; key !== null && seen <= PLACE_LIMIT; seen++) {
      if (!wanted.has(new DataView(key.buffer, key.byteOffset).getUint32(0, true))) gone.push(key);
      key = this.#bpf.nextKey(map, key, 4);
    }
    for (const old of gone) this.#bpf.remove(map, old);
  }

  /** CPUs 0 … count − 1 go on with hits that are spread; 0 none. Errors: as `bpfError`. */
  setCpus(count: number): void {
    const map = this.#maps.td_cpus;
    try {
      for (let cpu = 0; cpu < this.#bpf.possibleCpus(); cpu++) {
        if (cpu >= count) this.#bpf.remove(map, u32(cpu));
        else if (!this.#spreads(cpu)) {
          this.#bpf.update(map, u32(cpu), new Uint8Array(Uint32Array.of(CPU_QUEUE, this.#spread).buffer));
        }
      }
    } catch (error) {
      throw bpfError(error, `spreading over ${count} CPUs`, { count });
    }
  }

  /** Whether this CPU goes on with the present program already; to enter it again would make its thread anew. */
  #spreads(cpu: number): boolean {
    const value = this.#bpf.lookUp(this.#maps.td_cpus, u32(cpu), 8);
    const id = value === null ? 0 : new DataView(value.buffer, value.byteOffset).getUint32(4, true);
    if (id === 0) return false;
    const program = this.#bpf.openProgramById(id);
    try {
      return this.#sameProgram(program, this.#spread);
    } finally {
      this.#addon.closeFd(program);
    }
  }

  /** By XDP_COUNTER, summed over the CPUs. */
  counters(): number[] {
    return readXdpCounters(this.#bpf, this.#maps.td_counters);
  }

  /** Everything off the interfaces, pins removed, with the bpffs if it was mounted for them; then `close`. */
  detach(): void {
    if (!this.#open) return;
    for (const attachment of this.#attachments) attachment.detach();
    if (this.pinned) {
      for (const name of pinNames()) fs.rmSync(`${this.pins.path}/${name}`, { force: true });
    }
    this.#release();
    this.pins.remove();
  }

  /** Gives descriptors back. With pins, and attached by netlink, the program goes on. */
  close(): void {
    if (!this.#open) return;
    this.#release();
    letGo(this.pins);
  }

  #release(): void {
    this.#open = false;
    for (const attachment of this.#attachments) attachment.close();
    for (const fd of [...Object.values(this.#maps), this.#program, this.#spread]) this.#addon.closeFd(fd);
    this.#query.close();
    if (this.#lock >= 0) this.#addon.closeFd(this.#lock);
    this.#lock = -1;
  }
}

/** All names of ours in a folder of pins. */
export function pinNames(): string[] {
  return [...LINK_PINS, PROGRAM_PIN, ...XDP_MAPS.map(pinName)].flatMap((name) => [name, `${name}-new`]);
}

function openOrNull(bpf: NativeBpf, place: string): number | null {
  try {
    return bpf.openPinned(place);
  } catch (error) {
    if ((error as BpfFailure).code === 'ENOENT') return null;
    throw error;
  }
}

function unpinned(): PinFolder {
  const story = 'not pinned: attached by netlink, and found again through the interface';
  return { kind: 'none', path: '', shown: '', story, close() {}, remove() {} };
}

/** What `open` holds while it may still fail. */
class Parts {
  lock = -1;
  query: LinkQuery | null = null;
  attachments: XdpAttachment[] = [];
  maps: Partial<XdpMaps> = {};
  program = -1;
  spread = -1;
  tableFound = false;
  readonly stories: string[] = [];

  constructor(
    readonly addon: XdpAddon,
    readonly pins: PinFolder,
  ) {}

  gather(options: XdpProgramOptions): void {
    const { addon, pins, stories } = this;
    stories.push(pins.story);
    if (pins.kind !== 'none') this.lock = lockPins(addon, pins);
    this.query = new LinkQuery(addon);
    const { outside, inside } = options;
    const devices = outside.index === inside.index ? [outside] : [outside, inside];
    const places = pins.kind === 'none' ? [] : LINK_PINS.map((name) => `${pins.path}/${name}`);
    this.attachments = XdpAttachment.find(addon, this.query, devices, places, stories);
    this.#openMaps(options, devices.length);
    this.#load(options.object ?? readObject());
  }

  #openMaps(options: XdpProgramOptions, devices: number): void {
    const { addon, pins, stories } = this;
    const { bpf } = addon;
    const there = this.attachments.map(({ program }) => program).filter((program) => program >= 0);
    this.maps = findMaps(addon, pins.kind === 'none' ? '' : pins.path, there);
    const sockets = devices * options.queues * options.shards;
    const orders = mapOrders({ tableLength: options.tableLength, sockets }, bpf.possibleCpus());
    const replaced: XdpMapName[] = [];
    for (const name of XDP_MAPS) {
      const found = this.maps[name];
      if (found !== undefined) {
        if (sameMap(bpf.mapInfo(found), orders[name])) {
          if (name === 'td_table') this.tableFound = true;
          continue;
        }
        if (name === 'td_table') throw otherTable(pins.shown, devicesOf(options));
        addon.closeFd(found);
        delete this.maps[name];
        replaced.push(name);
      }
      this.maps[name] = bpf.createMap(orders[name]);
    }
    if (replaced.length > 0) stories.push(`of another size, made anew: ${replaced.join(', ')}`);
  }

  #load(object: Uint8Array): void {
    const load = (section: string, name: string, expectedAttachType: number): number => {
      const used = this.addon.bpf.mapNames(object, section);
      const maps = Object.fromEntries(used.map((map) => [map, this.maps[map as XdpMapName]]));
      const known = maps as Record<string, number>;
      return this.addon.bpf.load({ object, section, name, expectedAttachType, maps: known });
    };
    try {
      this.program = load('xdp', PROGRAM_NAME, 0);
      this.spread = load('xdp/cpumap', SPREAD_NAME, ATTACH_CPUMAP);
    } catch (error) {
      throw bpfError(error, 'loading the XDP program');
    }
  }

  close(): void {
    for (const attachment of this.attachments) attachment.close();
    const fds = [...Object.values(this.maps), this.program, this.spread, this.lock];
    for (const fd of fds) if (fd >= 0) this.addon.closeFd(fd);
    this.query?.close();
    letGo(this.pins);
  }
}

/** A bpffs that was mounted in vain goes again. The kernel itself may put `maps.debug` and `progs.debug` into it. */
function letGo(pins: PinFolder): void {
  if (pins.kind === 'own-mount' && fs.readdirSync(pins.path).every((name) => name.endsWith('.debug'))) pins.remove();
  else pins.close();
}

const devicesOf = ({ outside, inside }: XdpProgramOptions): string => `${outside.name}, ${inside.name}`;

function otherTable(pin: string, devices: string): DesignatorError {
  return new DesignatorError(
    'TD_CONFLICT',
    `the table that the kernel forwards by has another size than table.connections asks for. Its tunnels are being forwarded now; \`designator unpin\` ends that and lets this process start anew (${pin === '' ? devices : pin})`,
    { pin, devices },
  );
}
