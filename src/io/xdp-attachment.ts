/**
 * The XDP program on one interface: what is there, whose it is, and how ours is put there, replaced and taken off. With
 * pins it is a bpf_link, else a program that netlink attached. A program of somebody else is never touched.
 */
import fs from 'node:fs';
import path from 'node:path';
import { DesignatorError } from '../errors.js';
import { type BpfFailure, bpfError, LINK_XDP } from './bpf.js';
import { type LinkQuery, NetlinkRefusal, XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE } from './link-query.js';
import type { NativeAddon } from './native.js';
import { openPin } from './xdp-maps.js';

/** The name that our program has in the kernel. */
export const PROGRAM_NAME = 'td_ingress';

export interface XdpDevice {
  readonly name: string;
  readonly index: number;
}
export type XdpMode = 'native' | 'generic';

const EBUSY = 16;
const EOPNOTSUPP = 95;
const ERANGE = 34;
const FLAGS: Record<XdpMode, number> = { native: XDP_FLAGS_DRV_MODE, generic: XDP_FLAGS_SKB_MODE };

type Addon = Pick<NativeAddon, 'bpf' | 'closeFd'>;

/** Whether a program is one of ours, of whatever version. */
export function isOurs(addon: Addon, program: number): boolean {
  const { bpf, closeFd } = addon;
  const info = bpf.programInfo(program);
  if (info.name !== PROGRAM_NAME) return false;
  return info.maps.some((id) => {
    const map = bpf.openMapById(id);
    const { name } = bpf.mapInfo(map);
    closeFd(map);
    return name === 'td_table';
  });
}

interface PinnedLink {
  readonly pin: string;
  readonly fd: number;
  readonly type: number;
  readonly program: number;
  /** 0: its interface has gone. */
  readonly interfaceIndex: number;
}

/** Interface numbers mean something in one network namespace only, and a link does not say in which: the program tells. */
function isLinkTo(query: LinkQuery, link: PinnedLink, index: number): boolean {
  if (link.type !== LINK_XDP || link.interfaceIndex !== index) return false;
  try {
    const there = query.attachment(index);
    return there.native === link.program || there.generic === link.program;
  } catch (error) {
    if (error instanceof NetlinkRefusal) return false;
    throw error;
  }
}

/** Takes a pinned link away that no interface of ours is to have. */
function dropLink(addon: Addon, query: LinkQuery, link: PinnedLink, stale: string[]): void {
  const { pin, interfaceIndex } = link;
  if (link.type === LINK_XDP && interfaceIndex !== 0) {
    if (!isLinkTo(query, link, interfaceIndex)) {
      throw new DesignatorError(
        'TD_CONFLICT',
        `${path.basename(pin)} is pinned to an interface of another network namespace; another designator has used state.pin: give this one a folder of its own, or run \`designator unpin\` there`,
        { pin, interfaceIndex },
      );
    }
    addon.bpf.detachLink(link.fd);
    stale.push(`XDP program taken off interface ${interfaceIndex}, which is none of ours any more`);
  } else stale.push(`${path.basename(pin)} removed: its interface has gone`);
  fs.rmSync(pin, { force: true });
}

/** `link`: ours by a bpf_link; `netlink`: ours without one; `none`: nothing is there. */
export class XdpAttachment {
  #kind: 'none' | 'link' | 'netlink' = 'none';
  #link = -1;
  /** Descriptor of the program that is there, −1 none. */
  #program = -1;
  #mode: XdpMode = 'native';

  private constructor(
    readonly addon: Addon,
    readonly query: LinkQuery,
    readonly device: XdpDevice,
    /** Of the link; empty without pins. */
    readonly pin: string,
  ) {}

  /**
   * What is on the interfaces. `pins`: where links may be, by interface; one under the other's name is as good. A link
   * whose interface has gone, or is none of these any more, is taken away: `stale` gets a sentence about it. Errors:
   * TD_CONFLICT a foreign program; a pin that belongs to another network namespace.
   */
  static find(
    addon: Addon,
    query: LinkQuery,
    devices: readonly XdpDevice[],
    pins: readonly string[],
    stale: string[],
  ): XdpAttachment[] {
    const links: PinnedLink[] = [];
    const found: XdpAttachment[] = [];
    const open = new Set<number>(); // links that nobody has yet
    try {
      for (const pin of pins) {
        const fd = openPin(addon.bpf, pin);
        if (fd === null) continue;
        open.add(fd);
        links.push({ pin, fd, ...addon.bpf.linkInfo(fd) });
      }
      const owner = devices.map(({ index }) => links.find((link) => isLinkTo(query, link, index)));
      for (const link of links) {
        if (owner.includes(link)) continue;
        dropLink(addon, query, link, stale);
        open.delete(link.fd);
        addon.closeFd(link.fd);
      }
      const free = pins.filter((pin) => !owner.some((link) => link?.pin === pin));
      for (const [i, device] of devices.entries()) {
        const link = owner[i];
        const pin = link?.pin ?? (free.includes(pins[i]) ? pins[i] : free[0]) ?? '';
        if (link === undefined && pin !== '') free.splice(free.indexOf(pin), 1);
        const attachment = new XdpAttachment(addon, query, device, pin);
        found.push(attachment);
        attachment.#read(link);
        if (link !== undefined) open.delete(link.fd);
      }
      return found;
    } catch (error) {
      for (const attachment of found) attachment.close();
      for (const fd of open) addon.closeFd(fd);
      throw error instanceof NetlinkRefusal
        ? new DesignatorError('TD_UNAVAILABLE', `looking for XDP: ${error.message}`, {}, error)
        : bpfError(error, 'looking for XDP');
    }
  }

  get program(): number {
    return this.#program;
  }
  get mode(): XdpMode {
    return this.#mode;
  }
  get kind(): 'none' | 'link' | 'netlink' {
    return this.#kind;
  }

  #read(link: PinnedLink | undefined): void {
    const { bpf } = this.addon;
    const there = this.query.attachment(this.device.index);
    const id = there.native || there.generic;
    if (there.attached === 'offload' || there.attached === 'several') throw this.#foreign(id);
    this.#mode = there.native !== 0 ? 'native' : 'generic';
    if (id === 0) return;
    if (link !== undefined) {
      this.#program = bpf.openProgramById(id);
      this.#link = link.fd;
      this.#kind = 'link';
      return;
    }
    this.#program = bpf.openProgramById(id);
    if (!isOurs(this.addon, this.#program) || this.#heldByLink()) throw this.#foreign(id);
    this.#kind = 'netlink';
  }

  /** Replacing a program by itself changes nothing, but is refused where a bpf_link holds it. */
  #heldByLink(): boolean {
    try {
      this.query.setXdp(this.device.index, this.#program, FLAGS[this.#mode], this.#program);
      return false;
    } catch (error) {
      if (error instanceof NetlinkRefusal && error.errno === EBUSY) return true;
      throw error;
    }
  }

  #foreign(id: number): DesignatorError {
    const { device, addon } = this;
    let name = 'unknown';
    try {
      const program = addon.bpf.openProgramById(id);
      name = addon.bpf.programInfo(program).name;
      addon.closeFd(program);
    } catch {
      // It has gone, or is not for us to see.
    }
    const whose = name === PROGRAM_NAME ? "another designator's program" : 'another XDP program';
    return new DesignatorError(
      'TD_CONFLICT',
      `${whose} (id ${id}, name ${name}) is on ${device.name}; it is never replaced. \`ip link set dev ${device.name} xdp off\` takes it off; a bpf_link goes with the process that holds it or with its pin`,
      { interface: device.name, programId: id, programName: name },
    );
  }

  /**
   * Puts `program` there, in place of the one of ours that is. Errors: TD_UNAVAILABLE the driver cannot, TD_CONFLICT
   * somebody was quicker, TD_NO_PERMISSION.
   */
  attach(program: number, mode: XdpMode): void {
    const { bpf } = this.addon;
    const { device, pin, query } = this;
    try {
      if (this.#kind !== 'none' && this.#mode !== mode) this.#off(); // a link cannot change its mode
      if (this.#kind === 'link') bpf.updateLink(this.#link, program);
      else if (this.#kind === 'netlink') query.setXdp(device.index, program, FLAGS[mode], this.#program);
      else if (pin === '') {
        query.setXdp(device.index, program, FLAGS[mode], -1);
        this.#kind = 'netlink';
      } else {
        this.#link = bpf.link(program, device.index, FLAGS[mode]);
        this.#kind = 'link';
        fs.rmSync(pin, { force: true });
        bpf.pin(this.#link, pin);
      }
      this.#mode = mode;
      if (this.#program >= 0) this.addon.closeFd(this.#program);
      this.#program = bpf.openProgramById(bpf.programInfo(program).id);
    } catch (error) {
      throw this.#attachError(error, mode);
    }
  }

  /** Whether the driver takes `program`: it is put there and taken off again, where nothing is. Errors: as `attach`. */
  rehearse(program: number, mode: XdpMode): void {
    if (this.#kind !== 'none') return;
    try {
      this.query.setXdp(this.device.index, program, FLAGS[mode], -1);
      this.query.setXdp(this.device.index, -1, FLAGS[mode], program);
    } catch (error) {
      throw this.#attachError(error, mode);
    }
  }

  #attachError(error: unknown, mode: XdpMode): DesignatorError {
    const { device, query } = this;
    const busy = (error as BpfFailure).code === 'EBUSY' || (error as NetlinkRefusal).errno === EBUSY;
    if (busy) {
      const there = query.attachment(device.index);
      return this.#foreign(there.native || there.generic);
    }
    const doing = `attaching the XDP program to ${device.name} (${mode})`;
    if (!(error instanceof NetlinkRefusal)) return bpfError(error, doing, { ...device, mode });
    const codes: Record<number, string> = { 1: 'EPERM', [EOPNOTSUPP]: 'EOPNOTSUPP', 22: 'EINVAL', [ERANGE]: 'ERANGE' };
    return bpfError(Object.assign(error, { code: codes[error.errno] }), doing, { ...device, mode });
  }

  /** Takes it off, with its pin. */
  detach(): void {
    try {
      this.#off();
    } catch (error) {
      throw bpfError(error, `taking the XDP program off ${this.device.name}`);
    }
  }

  #off(): void {
    const { bpf, closeFd } = this.addon;
    if (this.#kind === 'link') {
      bpf.detachLink(this.#link);
      closeFd(this.#link);
      this.#link = -1;
      fs.rmSync(this.pin, { force: true });
    } else if (this.#kind === 'netlink') {
      this.query.setXdp(this.device.index, -1, FLAGS[this.#mode], this.#program);
    }
    this.#kind = 'none';
    if (this.#program >= 0) closeFd(this.#program);
    this.#program = -1;
  }

  /** Gives descriptors back; the program stays where it is. */
  close(): void {
    const { closeFd } = this.addon;
    if (this.#link >= 0) closeFd(this.#link);
    if (this.#program >= 0) closeFd(this.#program);
    this.#link = -1;
    this.#program = -1;
  }
}
