/**
 * What a gateway group needs of the host it runs on, for one interface: a socket for its frames, virtual MACs, a guard
 * that keeps the kernel from answering, and the state of the link. `gateway-port.ts` makes it; a test may be it.
 */
import type { AddressWords } from '../wire/address.js';

/** Frames of one read. Views of the receive memory: valid until the call that hands them out returns. */
export interface LanFrames {
  readonly count: number;
  /** When the batch was read: CLOCK_MONOTONIC, seconds. */
  readonly now: number;
  /** From the Ethernet header on; a priority tag (VLAN 0) is taken off, frames of other VLANs are left out. */
  frame(index: number): Uint8Array;
  /** When the kernel got the frame, on the clock of `now`. */
  arrived(index: number): number;
}

/** Counted since the port was opened, over all sockets it had. */
export interface LanStatistics {
  readonly received: number;
  /** Frames that the kernel had no room for. */
  readonly dropped: number;
  /** Frames longer than the receive memory; left out. */
  readonly truncated: number;
  readonly sent: number;
  /** Frames that could not leave: link down, interface gone, device busy, too long. */
  readonly refused: number;
}

export interface LinkState {
  /** The interface exists. */
  readonly present: boolean;
  /** It is up, with carrier. */
  readonly up: boolean;
  /** 0 when it does not exist. */
  readonly index: number;
  /** Six bytes; zeros when it does not exist. */
  readonly mac: Uint8Array;
  readonly mtu: number;
}

/** As ForwarderAction of the engine; `serve` is the engine's own affair. */
export interface VirtualMacAction {
  readonly kind: 'hold' | 'let-go';
  /** 1…255 */
  readonly number: number;
  readonly mac: Uint8Array;
}

/** Taken in since the virtual MAC was first held, over all devices it had. Broadcasts count as bytes, not as packets. */
export interface VirtualMacTraffic {
  readonly bytes: number;
  readonly packets: number;
}

export interface GatewayPortOptions {
  readonly device: string;
  /** 1…65535: names devices, table and lock. */
  readonly group: number;
  /** The shared addresses, at most 32. */
  readonly addresses: readonly AddressWords[];
  /** Destination MAC of the messages between members. */
  readonly messages: Uint8Array;
  /** MAC of forwarder 0: all virtual MACs of the group differ from it in the last byte alone. */
  readonly virtualMac: Uint8Array;
  /** The host has the shared addresses itself, so that it answers pings. */
  readonly accept: boolean;
  /**
   * `macvlan`: a device for each virtual MAC that is held; the kernel forwards. `none`: somebody else reads their frames by
   * sockets of its own; the interface takes them while they are held.
   */
  readonly forwarding: 'macvlan' | 'none';
  /** GLBP's messages are received as well, and kept from the host. */
  readonly glbp?: boolean;
  /** Folder of the lock; default /run/designator. */
  readonly lockFolder?: string;
  readonly onFrames: (frames: LanFrames) => void;
  /** After a change; the first state is in `link`. */
  readonly onLink: (link: LinkState) => void;
  /** Something of the host went wrong, or is right again (`ok`), while it ran: one sentence. */
  readonly onTrouble: (trouble: HostTrouble) => void;
}

export interface HostTrouble {
  readonly what: 'guard' | 'virtual-mac' | 'socket' | 'addresses';
  readonly ok: boolean;
  readonly text: string;
}

/** Why the host is no gateway, or a bad one. */
export interface HostProblem {
  /** `fatal`: it cannot be one. `warning`: it may be meant so. */
  readonly severity: 'fatal' | 'warning';
  readonly text: string;
  /** What helps: a command or a sentence. */
  readonly remedy: string;
  /** Missing rights: the process ends with 77. */
  readonly permission: boolean;
}

/** One group's host at one interface. The interface may go away and come back: everything is made again then. */
export interface GatewayPort {
  readonly link: LinkState;
  /** In order, in as few calls as can be. Returns how many left; never throws. */
  send(frames: readonly Uint8Array[]): number;
  /** At once; idempotent. A failure is an `onTrouble`. */
  apply(actions: readonly VirtualMacAction[]): void;
  /** By forwarder number. */
  traffic(): ReadonlyMap<number, VirtualMacTraffic>;
  statistics(): LanStatistics;
  /** After a reload: other shared addresses, or the host has them or not. */
  setAddresses(addresses: readonly AddressWords[], accept: boolean): Promise<void>;
  /** Lets go of all virtual MACs and leaves the host as it was. */
  close(): Promise<void>;
}
