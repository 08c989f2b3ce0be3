/** What a process left in the kernel: a look at its table, and everything off. */
import fs from 'node:fs';
import { DesignatorError } from '../errors.js';
import { HEADER, PAGE_LENGTH } from '../flow/layout.js';
import { bpfError } from './bpf.js';
import { openPinFolder, type PinFolder } from './bpffs.js';
import { LinkQuery, NetlinkRefusal, XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE } from './link-query.js';
import type { NativeAddon } from './native.js';
import { isOurs, type XdpDevice } from './xdp-attachment.js';
import { findMaps, openPin, pinName } from './xdp-maps.js';
import { LINK_PINS, lockPins, pinNames, type XdpAddon } from './xdp-program.js';

const EBUSY = 16;

export interface UnpinOptions {
  readonly addon: XdpAddon;
  /** `state.pin`. */
  readonly pinPath: string;
  /** Interfaces on which a program without a pin is looked for. */
  readonly devices: readonly XdpDevice[];
  /** Default: where it is found. */
  readonly pins?: PinFolder;
}

/**
 * Takes off everything of ours: links and their programs, pins, and programs that netlink attached to the interfaces.
 * Returns a sentence for each thing; none when there was nothing. Errors: TD_CONFLICT a designator is running;
 * TD_NO_PERMISSION.
 */
export function unpinAll(options: UnpinOptions): string[] {
  const { addon } = options;
  const pins = options.pins ?? openPinFolder(addon, options.pinPath, false);
  const done: string[] = [];
  const query = new LinkQuery(addon);
  let lock = -1;
  try {
    if (pins.kind !== 'none') {
      lock = lockPins(addon, pins);
      removePins(addon, pins, done);
    }
    for (const device of new Map(options.devices.map((each) => [each.index, each])).values()) {
      takeOff(addon, query, device, done);
    }
    return done;
  } catch (error) {
    throw bpfError(error, 'unpinning');
  } finally {
    query.close();
    if (lock >= 0) addon.closeFd(lock);
    pins.remove();
  }
}

function removePins(addon: XdpAddon, pins: PinFolder, done: string[]): void {
  const present = new Set(fs.readdirSync(pins.path));
  for (const name of LINK_PINS.filter((wanted) => present.has(wanted))) {
    const link = openPin(addon.bpf, `${pins.path}/${name}`);
    if (link === null) continue;
    const { interfaceIndex } = addon.bpf.linkInfo(link);
    if (interfaceIndex !== 0) addon.bpf.detachLink(link);
    addon.closeFd(link);
    done.push(
      interfaceIndex === 0
        ? `${pins.shown}/${name}: its interface had gone`
        : `${pins.shown}/${name}: XDP program taken off interface ${interfaceIndex}`,
    );
  }
  const ours = pinNames().filter((name) => present.has(name));
  for (const name of ours) fs.rmSync(`${pins.path}/${name}`, { force: true });
  if (ours.length > 0) done.push(`${ours.length} pins removed from ${pins.shown}`);
}

function takeOff(addon: XdpAddon, query: LinkQuery, device: XdpDevice, done: string[]): void {
  let program = -1;
  try {
    const there = query.attachment(device.index);
    const id = there.native || there.generic;
    if (id === 0) return;
    program = addon.bpf.openProgramById(id);
    if (!isOurs(addon, program)) return;
    query.setXdp(device.index, -1, there.native !== 0 ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE, program);
    done.push(`${device.name}: XDP program ${id} taken off`);
  } catch (error) {
    if (!(error instanceof NetlinkRefusal) || error.errno !== EBUSY) throw error;
    done.push(`${device.name}: a program of ours is held by a link that is pinned elsewhere; it stays`);
  } finally {
    if (program >= 0) addon.closeFd(program);
  }
}

export interface PinnedTable {
  /** The caller's to close. */
  readonly fd: number;
  /** Bytes. */
  readonly length: number;
  /** Words of its header. */
  readonly magic: number;
  readonly layoutVersion: number;
  readonly connections: number;
}

/**
 * The table of a process before, by its pin or through the program on one of the interfaces; null when there is none.
 * Nothing is locked or changed.
 */
export function readPinnedTable(
  addon: Pick<NativeAddon, 'bpf' | 'closeFd' | 'mapTable' | 'unmapTable' | 'NetlinkSocket'>,
  pinPath: string,
  devices: readonly XdpDevice[] = [],
  folder: PinFolder = openPinFolder(addon, pinPath, false),
): PinnedTable | null {
  const { bpf } = addon;
  const programs: number[] = [];
  const query = new LinkQuery(addon);
  try {
    for (const { index } of devices) {
      const there = query.attachment(index);
      const id = there.native || there.generic;
      if (id === 0) continue;
      const program = bpf.openProgramById(id);
      if (isOurs(addon, program)) programs.push(program);
      else addon.closeFd(program);
    }
    const { td_table: fd, ...others } = findMaps(addon, folder.path, programs);
    for (const other of Object.values(others)) addon.closeFd(other);
    if (fd === undefined) return null;
    const { valueLength, entries } = bpf.mapInfo(fd);
    const length = valueLength * entries;
    if (length < PAGE_LENGTH) {
      addon.closeFd(fd);
      throw new DesignatorError('TD_CONFLICT', `the pin ${folder.shown}/${pinName('td_table')} is no table`, {
        length,
      });
    }
    const page = addon.mapTable(fd, PAGE_LENGTH);
    const header = new Int32Array(page);
    const words = {
      magic: header[HEADER.magic],
      layoutVersion: header[HEADER.layoutVersion],
      connections: header[HEADER.connections],
    };
    addon.unmapTable(page);
    return { fd, length, ...words };
  } catch (error) {
    throw bpfError(error, `looking at the pins in ${folder.shown}`);
  } finally {
    for (const program of programs) addon.closeFd(program);
    query.close();
    folder.close();
  }
}
