/**
 * XDP in front, AF_XDP behind: the program forwards the tunnels that the shards let it, by the table that they write, and
 * brings them everything else. This is the main thread's part: it tells the program who is who, gives it the sockets,
 * and watches over what it does.
 */
import { readFileSync } from 'node:fs';
import type { CompiledConfig, InterfaceSpec } from '../../config/compiled.js';
import { AddressTable } from '../../flow/address-table.js';
import { type AddressWords, compileDenyList } from '../../flow/deny-list.js';
import { type DirectoryItem, writeDirectory } from '../../flow/directory-segment.js';
import { XDP_FLAG } from '../../flow/layout.js';
import { setXdpFlags, writeXdpWords } from '../../flow/xdp-words.js';
import type { NativeAddon, XskSet } from '../../io/native.js';
import { PORT_INSIDE, PORT_OUTSIDE } from '../../io/port.js';
import { keepTags, restoreTags } from '../../io/rx-vlan.js';
import { openXskSet } from '../../io/xdp.js';
import { XDP_COUNTER, xdpTotals } from '../../io/xdp-counters.js';
import type { XdpProgram } from '../../io/xdp-program.js';
import type { ShardIo } from '../../workers/shard-task.js';
import type { Bound, Datapath, KernelTotals } from './datapath.js';
import { RedirectGuard, sentPackets } from './redirect-guard.js';
import { type OpenedTable, tagFile } from './table-file.js';
import { saveTable } from './table-map.js';
import { xdpRoles } from './xdp-roles.js';

/** For every receive queue: twice its rings, so that a full ring leaves as many for frames on their way. */
const FRAMES_PER_QUEUE = 4096;
/** Room that the kernel keeps in front of a frame, and the longest link-layer header. */
const HEADROOM = 256 + 18;

/** What the machine can do, as far as the data path must know it. */
export interface XdpAbilities {
  readonly mode: 'native' | 'generic';
  /** The program may forward; else it only steers. */
  readonly offload: boolean;
  readonly copy: 'auto' | 'copy' | 'zero-copy';
  /** Every device can send a frame back out by XDP_TX. */
  readonly transmits: boolean;
  /** Receive queues of the devices: one or two. */
  readonly queues: readonly number[];
  readonly reasons: readonly string[];
  /** Whether frames that are redirected into the interface arrive, asked once a second. */
  readonly takesRedirects: (device: string) => boolean;
}

export interface XdpDatapathParts {
  readonly addon: NativeAddon;
  readonly config: CompiledConfig;
  readonly shards: number;
  readonly abilities: XdpAbilities;
  readonly program: XdpProgram;
  readonly table: OpenedTable;
  /** Held while the table is in the kernel: nobody else may take the file for the tunnels. */
  readonly fileLock: number;
}

export class XdpDatapath implements Datapath {
  readonly table: OpenedTable;
  readonly offload: boolean;
  readonly reasons: readonly string[];
  words: string;
  readonly #p: XdpDatapathParts;
  readonly #sockets: XskSet;
  readonly #devices: readonly InterfaceSpec[];
  readonly #guard = new RedirectGuard(2);
  /** By port: what was said when its redirects were found not to arrive. */
  readonly #swallowed = [false, false];
  #directory = '';

  /** Opens the sockets. Errors: those of `openXskSet`. */
  constructor(parts: XdpDatapathParts) {
    const { addon, config, abilities, shards } = parts;
    this.#p = parts;
    this.table = parts.table;
    this.offload = abilities.offload;
    this.reasons = abilities.reasons;
    const same = config.outside.device === config.inside.device;
    this.#devices = same ? [config.outside] : [config.outside, config.inside];
    const mtu = Math.max(...this.#devices.map(({ device }) => addon.interfaceInfo(device).mtu));
    this.#sockets = openXskSet({
      devices: this.#devices.map(({ device }, index) => ({ name: device, queues: abilities.queues[index] })),
      shards,
      chunkLength: mtu + HEADROOM <= 2048 ? 2048 : 4096,
      framesPerQueue: FRAMES_PER_QUEUE,
      copy: abilities.copy,
    });
    this.words = this.#words();
  }

  #words(): string {
    const { abilities } = this.#p;
    const zeroCopy = this.#sockets.zeroCopy.every((yes) => yes);
    const base = abilities.mode === 'generic' ? 'xdp-generic' : `xdp-native ${zeroCopy ? 'zero-copy' : 'copy'}`;
    return this.#offloads ? base : `${base}, no offload`;
  }

  get #offloads(): boolean {
    return this.offload && !this.#swallowed.includes(true);
  }

  shardIo(): ShardIo {
    return { kind: 'xdp', sockets: this.#sockets.handle, description: this.words, offload: this.offload };
  }

  async prepare(bound: Bound): Promise<void> {
    const { addon, config, program, shards, abilities } = this.#p;
    const [outside, inside] = [config.outside, config.inside].map(({ device }) => addon.interfaceInfo(device));
    const lists = this.#tell(bound);
    writeXdpWords(this.table.memory, {
      outsideInterface: outside.index,
      insideInterface: inside.index,
      outsideVlan: config.outside.vlan,
      insideVlan: config.inside.vlan,
      outsideMac: outside.mac,
      insideMac: inside.mac,
      shards,
      queues: Math.max(...abilities.queues),
      spread: config.spread,
      flags: this.#flags(bound, lists),
    });
    program.setDevice(PORT_OUTSIDE, outside.index);
    program.setDevice(PORT_INSIDE, inside.index);
    program.setCpus(config.spread);
    for (const { index, fd } of this.#sockets.sockets) program.setSocket(index, fd);
  }

  #flags({ config, ownResolution }: Bound, { denies, byDefault }: DenyFlags): number {
    const same = config.outside.device === config.inside.device;
    return (
      (this.#offloads ? XDP_FLAG.offload : 0) |
      (config.outside.name === config.inside.name ? XDP_FLAG.oneArm : 0) |
      (same ? XDP_FLAG.sameDevice : 0) |
      (this.#p.abilities.transmits ? 0 : XDP_FLAG.redirectBack) |
      (config.vips.some(({ clampMss }) => (clampMss ?? 0) > 0) ? XDP_FLAG.clamp : 0) |
      (denies ? XDP_FLAG.denyList : 0) |
      (byDefault ? XDP_FLAG.denyByDefault : 0) |
      ((config.gateway?.outside ?? null) === null ? 0 : XDP_FLAG.answeredByGroup) |
      (ownResolution[0] ? XDP_FLAG.hearOutside : 0) |
      (ownResolution[1] ? XDP_FLAG.hearInside : 0)
    );
  }

  async attach(): Promise<void> {
    const { addon, config, program } = this.#p;
    const tagged = [config.outside, config.inside].filter(({ vlan }) => vlan !== 0).map(({ device }) => device);
    keepTags(addon, tagFile(config.control.socket), tagged);
    program.attach();
  }

  update(bound: Bound): void {
    const { memory } = this.table;
    const lists = this.#tell(bound, () => setXdpFlags(memory, XDP_FLAG.denyByDefault, false));
    setXdpFlags(memory, XDP_FLAG.denyList, lists.denies);
    const clamps = bound.config.vips.some(({ clampMss }) => (clampMss ?? 0) > 0);
    setXdpFlags(memory, XDP_FLAG.clamp, clamps);
    if (lists.byDefault) setXdpFlags(memory, XDP_FLAG.denyByDefault, true);
  }

  /** Who is who, and who is denied. `before` runs when nothing is denied by default, before the list changes. */
  #tell({ binding, plan, config }: Bound, before: () => void = () => {}): DenyFlags {
    const { memory } = this.table;
    const addresses = new AddressTable(memory);
    const { roles, places } = xdpRoles(binding);
    const wordsOf = (index: number): AddressWords => [
      addresses.word(index, 0),
      addresses.word(index, 1),
      addresses.word(index, 2),
      addresses.word(index, 3),
    ];
    const items = [...roles].map(([index, role]): DirectoryItem => ({ words: wordsOf(index), index, role }));
    // A half that readers may still be in must not be written again without need.
    const directory = JSON.stringify(items);
    if (directory !== this.#directory) writeDirectory(memory, items);
    this.#directory = directory;
    this.#p.program.setPlaces(places);
    const oneArm = config.outside.name === config.inside.name;
    const exempt = oneArm ? binding.servers.map(({ address }) => wordsOf(address)) : [];
    const list = compileDenyList(plan.rules, plan.denyByDefault, exempt);
    if (!list.denyByDefault) before();
    this.#p.program.deny.write(list.entries);
    return { denies: list.entries.length > 0, byDefault: list.denyByDefault };
  }

  tick(): readonly string[] {
    if (!this.offload) return [];
    const { redirected } = xdpTotals(this.#p.program.counters());
    const devices = readFileSync('/proc/self/net/dev', 'utf8');
    const before = this.#offloads;
    const said: string[] = [];
    for (const [port, spec] of [this.#p.config.outside, this.#p.config.inside].entries()) {
      const sent = sentPackets(devices, spec.device);
      const swallows = sent !== null && this.#guard.look(port, redirected[port], sent);
      const takes = this.#p.abilities.takesRedirects(spec.device);
      if (!takes) this.#refused[port] = true;
      // What was found out by counting stays so until the device itself has changed its mind, and says so.
      if (this.#swallowed[port] === (swallows || !takes)) continue;
      if (this.#swallowed[port] && !(takes && this.#refused[port])) continue;
      this.#swallowed[port] = swallows || !takes;
      if (takes) this.#refused[port] = false;
      said.push(
        this.#swallowed[port]
          ? `frames redirected into ${spec.device} do not arrive (a veth whose peer polls not at all: \`ethtool -K PEER gro on\`): the shards forward now`
          : `${spec.device} takes redirected frames again: the kernel forwards`,
      );
    }
    if (this.#offloads !== before) {
      setXdpFlags(this.table.memory, XDP_FLAG.offload, this.#offloads);
      this.words = this.#words();
    }
    return said;
  }

  /** By port: the device itself said that it takes no redirects. */
  readonly #refused = [false, false];

  shardEnded(shard: number): void {
    this.#sockets.reclaim(shard);
  }

  totals(): KernelTotals {
    const counters = this.#p.program.counters();
    const { packetsIn, packetsOut, bytesIn, bytesOut } = xdpTotals(counters);
    const of = (...names: (keyof typeof XDP_COUNTER)[]): number =>
      names.reduce((sum, name) => sum + counters[XDP_COUNTER[name]], 0);
    return {
      packetsIn,
      packetsOut,
      bytesIn,
      bytesOut,
      passed: of('passed'),
      answered: of('answered'),
      drops: {
        'firewall-denied': of('denied'),
        'no-socket': of('noSocket'),
        'entry-changed': of('spreadMiss'),
        'rewrite-failed': of('adjustFailed'),
        'send-failed': of('redirectFailed'),
      },
    };
  }

  async stop(): Promise<void> {
    const { addon, program, config, fileLock } = this.#p;
    program.detach();
    restoreTags(addon, tagFile(config.control.socket));
    this.#sockets.close();
    addon.closeFd(fileLock);
    if (this.table.file !== null) saveTable(addon, this.table.memory, this.table.file);
  }

  leave(): boolean {
    return true;
  }
}

interface DenyFlags {
  readonly denies: boolean;
  readonly byDefault: boolean;
}
