/**
 * The host of one gateway group at one interface: the lock, what a killed process left behind, the guard, the virtual MACs
 * and the socket, in the order in which nobody hears a wrong word; and all of it again when the interface comes back.
 */
import { mkdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { DesignatorError } from '../errors.js';
import { type AddressWords, isIpv4 } from '../wire/address.js';
import { GatewayGuard } from './gateway-guard.js';
import type {
  GatewayPort,
  GatewayPortOptions,
  HostTrouble,
  LanStatistics,
  LinkState,
  VirtualMacAction,
  VirtualMacTraffic,
} from './gateway-types.js';
import { LanSocket } from './lan-socket.js';
import { LinkWatch, NO_LINK } from './link-watch.js';
import type { NativeAddon } from './native.js';
import { NetlinkRefusal } from './netlink-request.js';
import { VirtualMacs } from './virtual-macs.js';

const LOCK_FOLDER = '/run/designator';
const EPERM = 1;
const RETRY_MS = 500;
/** An ARP request of the host has its own address of that network as sender, never one that is shared. */
const ARP_ANNOUNCE_BEST = 2;

/**
 * Errors: TD_CONFIG no such interface; TD_CONFLICT another process serves the group there; TD_NO_PERMISSION; TD_UNAVAILABLE
 * the host refuses something, which the sentence names.
 */
export async function openGatewayPort(addon: NativeAddon, options: GatewayPortOptions): Promise<GatewayPort> {
  const port = new HostGatewayPort(addon, options);
  try {
    await port.open();
    return port;
  } catch (error) {
    await port.close().catch(() => {});
    throw explained(error, options);
  }
}

class HostGatewayPort implements GatewayPort {
  readonly #addon: NativeAddon;
  readonly #options: GatewayPortOptions;
  #addresses: readonly AddressWords[];
  #accept: boolean;
  #lock = -1;
  #watch: LinkWatch | null = null;
  #guard: GatewayGuard | null = null;
  #macs: VirtualMacs | null = null;
  #socket: LanSocket | null = null;
  /** Virtual MACs that are held without a device, by number. */
  readonly #stations = new Map<number, Uint8Array>();
  /** Of sockets that were closed. */
  #past: LanStatistics = { received: 0, dropped: 0, truncated: 0, sent: 0, refused: 0 };
  /** As it was, when it was changed. */
  #arpAnnounce: string | null = null;
  /** What everything was made for. */
  #followed: LinkState = NO_LINK;
  /** The last change of the link could not be followed. */
  #behind = false;
  #retry: NodeJS.Timeout | null = null;
  #open = false;
  #closed = false;
  #turn: Promise<void> = Promise.resolve();

  constructor(addon: NativeAddon, options: GatewayPortOptions) {
    this.#addon = addon;
    this.#options = options;
    this.#addresses = options.addresses;
    this.#accept = options.accept;
  }

  get link(): LinkState {
    return this.#watch?.state ?? NO_LINK;
  }

  async open(): Promise<void> {
    const { device, group, virtualMac, forwarding } = this.#options;
    this.#lock = lock(this.#addon, this.#options);
    this.#watch = new LinkWatch(this.#addon, device, (state) => this.#linkChanged(state));
    if (!this.link.present) {
      throw new DesignatorError('TD_CONFIG', `no such interface "${device}"`, { interface: device });
    }
    this.#guard = new GatewayGuard(this.#guardInput(), {
      onLost: (error) =>
        this.#trouble(
          'guard',
          error === null,
          error === null
            ? `somebody took the nftables table of group ${group} away; it is back`
            : `the nftables table of group ${group} is gone and cannot be written: ${error.message}`,
        ),
    });
    await this.#guard.install();
    this.#checkGuard();
    if (forwarding === 'macvlan') {
      this.#macs = new VirtualMacs(this.#addon, {
        device,
        group,
        virtualMac,
        ipv6: this.#addresses.some((words) => !isIpv4(words[0], words[1], words[2])),
        onTrouble: (text) => this.#trouble('virtual-mac', false, text),
      });
      this.#macs.setBelow(this.link.index);
      this.#macs.setAddresses(this.#accept ? this.#addresses : []);
    }
    this.#setArpAnnounce();
    this.#socket = this.#newSocket();
    this.#followed = this.link;
    this.#open = true;
  }

  send(frames: readonly Uint8Array[]): number {
    return this.#socket?.send(frames) ?? 0;
  }

  apply(actions: readonly VirtualMacAction[]): void {
    if (this.#closed) return;
    if (this.#macs !== null) return this.#macs.apply(actions);
    for (const { kind, number, mac } of actions) {
      const held = this.#stations.has(number);
      if (held === (kind === 'hold')) continue;
      if (held) this.#stations.delete(number);
      else this.#stations.set(number, mac.slice());
      if (this.#socket !== null) this.#setStation(this.#socket, mac, !held);
    }
  }

  traffic(): ReadonlyMap<number, VirtualMacTraffic> {
    return this.#closed || this.#macs === null ? new Map() : this.#macs.traffic();
  }

  statistics(): LanStatistics {
    return this.#socket === null ? this.#past : added(this.#past, this.#socket.statistics());
  }

  setAddresses(addresses: readonly AddressWords[], accept: boolean): Promise<void> {
    return this.#next(async () => {
      this.#addresses = addresses;
      this.#accept = accept;
      await this.#updateGuard();
      this.#macs?.setAddresses(accept ? addresses : []);
      this.#setArpAnnounce();
      this.#socket?.setAddresses(addresses);
    });
  }

  close(): Promise<void> {
    if (this.#closed) return this.#turn;
    this.#closed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#watch?.close();
    this.#endSocket();
    // The addresses go before the guard does.
    this.#macs?.close();
    this.#restoreArpAnnounce();
    const done = this.#turn.then(async () => {
      try {
        await this.#guard?.close();
      } finally {
        if (this.#lock >= 0) this.#addon.closeFd(this.#lock);
        this.#lock = -1;
      }
    });
    this.#turn = done.catch(() => {});
    return done;
  }

  async #updateGuard(): Promise<void> {
    await this.#guard?.update(this.#guardInput());
    this.#checkGuard();
  }

  #checkGuard(): void {
    if (this.#guard?.egress === false) {
      this.#trouble('guard', false, 'this kernel has no nftables hook at the way out (Linux 5.16 has)');
    }
  }

  #guardInput() {
    const { device, group, virtualMac, forwarding, glbp = false } = this.#options;
    const own = forwarding === 'macvlan' ? virtualMac : null;
    return { device, group, addresses: this.#addresses, virtualMac: own, glbp };
  }

  #newSocket(): LanSocket {
    const { device, messages, glbp, onFrames } = this.#options;
    const { mtu } = this.link;
    const groups = [messages];
    const socket = new LanSocket(this.#addon, { device, mtu, addresses: this.#addresses, groups, glbp, onFrames });
    for (const mac of this.#stations.values()) this.#setStation(socket, mac, true);
    return socket;
  }

  #setStation(socket: LanSocket, mac: Uint8Array, taken: boolean): void {
    try {
      socket.setStation(mac, taken);
    } catch (error) {
      this.#trouble('virtual-mac', false, `${this.#options.device}: ${(error as Error).message}`);
    }
  }

  #endSocket(): void {
    if (this.#socket === null) return;
    const socket = this.#socket;
    this.#socket = null;
    this.#past = added(this.#past, socket.statistics());
    socket.close();
  }

  #linkChanged(state: LinkState): void {
    if (!this.#open || this.#closed) return;
    if (!state.present) {
      this.#endSocket();
      this.#macs?.setBelow(0);
      this.#arpAnnounce = null;
    }
    // Everything else in its order: the guard stands before the host has anything to say.
    this.#catchUp();
  }

  /** Until it succeeds: an interface that has just come may go again, and nft may be busy. */
  #catchUp(): void {
    this.#next(() => this.#follow()).then(
      () => {
        if (this.#behind) this.#trouble('socket', true, `${this.#options.device} is followed again`);
        this.#behind = false;
      },
      (error: Error) => {
        this.#behind = true;
        this.#trouble('socket', false, error.message);
        this.#retry ??= setTimeout(() => {
          this.#retry = null;
          if (!this.#closed) this.#catchUp();
        }, RETRY_MS);
        this.#retry.unref();
      },
    );
  }

  async #follow(): Promise<void> {
    if (this.#closed) return;
    const state = this.link;
    const other = this.#followed.index !== state.index || this.#followed.mtu !== state.mtu;
    if (state.present && (this.#socket === null || other)) {
      await this.#updateGuard();
      if (this.#closed || this.link.index !== state.index) return;
      this.#macs?.setBelow(state.index);
      this.#setArpAnnounce();
      this.#endSocket();
      this.#socket = this.#newSocket();
    }
    this.#followed = state;
    this.#options.onLink(state);
  }

  /** One after the other. */
  #next(action: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(action);
    this.#turn = done.catch(() => {});
    return done;
  }

  /** Only where the host has the addresses: otherwise it cannot say them. */
  #setArpAnnounce(): void {
    const wanted = this.#accept && this.#options.forwarding === 'macvlan';
    if (!wanted) return this.#restoreArpAnnounce();
    if (this.#arpAnnounce !== null) return;
    try {
      const before = readFileSync(this.#arpAnnouncePath, 'utf8').trim();
      if (Number(before) >= ARP_ANNOUNCE_BEST) return;
      writeFileSync(this.#arpAnnouncePath, String(ARP_ANNOUNCE_BEST));
      this.#arpAnnounce = before;
    } catch (error) {
      this.#trouble('addresses', false, `${this.#arpAnnouncePath}: ${(error as Error).message}`);
    }
  }

  #restoreArpAnnounce(): void {
    if (this.#arpAnnounce === null) return;
    try {
      writeFileSync(this.#arpAnnouncePath, this.#arpAnnounce);
    } catch {
      // The interface has gone, and its settings with it.
    }
    this.#arpAnnounce = null;
  }

  get #arpAnnouncePath(): string {
    return `/proc/sys/net/ipv4/conf/${this.#options.device}/arp_announce`;
  }

  #trouble(what: HostTrouble['what'], ok: boolean, text: string): void {
    this.#options.onTrouble({ what, ok, text });
  }
}

/** One process a group, interface and network namespace. The file stays: whoever removed it could remove another's lock. */
function lock(addon: NativeAddon, { device, group, lockFolder = LOCK_FOLDER }: GatewayPortOptions): number {
  const namespace = /\d+/.exec(readlinkSync('/proc/self/ns/net'))?.[0] ?? '0';
  const file = path.join(lockFolder, `gateway-${namespace}-${device.replaceAll('/', '_')}-${group}.lock`);
  try {
    mkdirSync(lockFolder, { recursive: true });
    return addon.lockPath(file);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'EAGAIN') {
      const text = `another process serves gateway group ${group} on ${device}: stop it first`;
      throw new DesignatorError('TD_CONFLICT', text, { interface: device, group, file }, cause);
    }
    const kind = code === 'EACCES' || code === 'EPERM' ? 'TD_NO_PERMISSION' : 'TD_UNAVAILABLE';
    throw new DesignatorError(kind, `${file} cannot be locked: ${message}`, { file }, cause);
  }
}

function explained(error: unknown, { device, group }: GatewayPortOptions): unknown {
  if (error instanceof DesignatorError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const context = { interface: device, group };
  if (code === 'EPERM' || (error instanceof NetlinkRefusal && error.errno === EPERM)) {
    const text = `gateway group ${group} on ${device} needs CAP_NET_ADMIN and CAP_NET_RAW: ${message}`;
    return new DesignatorError('TD_NO_PERMISSION', text, context, error);
  }
  return new DesignatorError('TD_UNAVAILABLE', `gateway group ${group} on ${device}: ${message}`, context, error);
}

function added(a: LanStatistics, b: LanStatistics): LanStatistics {
  return {
    received: a.received + b.received,
    dropped: a.dropped + b.dropped,
    truncated: a.truncated + b.truncated,
    sent: a.sent + b.sent,
    refused: a.refused + b.refused,
  };
}
