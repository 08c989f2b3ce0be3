/** The maps of the XDP program: how each is made, and which of those that another process left can be gone on with. */
import { ELEMENT_LENGTH } from '../flow/layout.js';
import {
  bpfError,
  MAP_ARRAY,
  MAP_CPUMAP,
  MAP_DEVMAP,
  MAP_HASH,
  MAP_LPM_TRIE,
  MAP_MMAPABLE,
  MAP_NO_PREALLOC,
  MAP_PERCPU_ARRAY,
  MAP_XSKMAP,
  type BpfFailure,
} from './bpf.js';
import type { BpfMapOrder, NativeAddon } from './native.js';
import { XDP_COUNTER_COUNT } from './xdp-counters.js';
import { DENY_MAP_ENTRIES } from './xdp-deny.js';

/** By their symbols in the program; a pin's name is the same without the prefix. */
export const XDP_MAPS = [
  'td_table',
  'td_devices',
  'td_sockets',
  'td_cpus',
  'td_deny',
  'td_places',
  'td_counters',
] as const;
export type XdpMapName = (typeof XDP_MAPS)[number];
export type XdpMaps = Record<XdpMapName, number>;

/** Places where VIPs listen and servers answer by configuration. */
export const PLACE_LIMIT = 8192;

export const pinName = (map: string): string => map.replace(/^td_/, '');

export interface XdpMapSizes {
  readonly tableLength: number;
  readonly sockets: number;
}

/** What each map is made as. */
export function mapOrders({ tableLength, sockets }: XdpMapSizes, cpus: number): Record<XdpMapName, BpfMapOrder> {
  const order = (
    name: XdpMapName,
    type: number,
    keyLength: number,
    valueLength: number,
    entries: number,
    flags = 0,
  ): BpfMapOrder => ({ name, type, keyLength, valueLength, entries, flags });
  return {
    td_table: order('td_table', MAP_ARRAY, 4, ELEMENT_LENGTH, tableLength / ELEMENT_LENGTH, MAP_MMAPABLE),
    td_devices: order('td_devices', MAP_DEVMAP, 4, 4, 2),
    td_sockets: order('td_sockets', MAP_XSKMAP, 4, 4, Math.max(1, sockets)),
    td_cpus: order('td_cpus', MAP_CPUMAP, 4, 8, cpus),
    td_deny: order('td_deny', MAP_LPM_TRIE, 20, 4, DENY_MAP_ENTRIES, MAP_NO_PREALLOC),
    td_places: order('td_places', MAP_HASH, 4, 4, PLACE_LIMIT, MAP_NO_PREALLOC),
    td_counters: order('td_counters', MAP_PERCPU_ARRAY, 4, 8, XDP_COUNTER_COUNT),
  };
}

/** Same to the program and to us. Flags are left out: the kernel adds some of its own (a DEVMAP's BPF_F_RDONLY_PROG). */
export function sameMap(a: BpfMapOrder, b: BpfMapOrder): boolean {
  return a.type === b.type && a.keyLength === b.keyLength && a.valueLength === b.valueLength && a.entries === b.entries;
}

/** Opens a pin, or null when there is none. Errors: as `bpfError`. */
export function openPin(bpf: NativeAddon['bpf'], path: string): number | null {
  try {
    return bpf.openPinned(path);
  } catch (error) {
    if ((error as BpfFailure).code === 'ENOENT') return null;
    throw bpfError(error, `opening the pin ${path}`);
  }
}

/**
 * Descriptors of maps that another process left: by their pins, and, where a pin is missing (a process that died while it
 * was making them; one that had no bpffs), through a program that uses them.
 */
export function findMaps(
  addon: Pick<NativeAddon, 'bpf' | 'closeFd'>,
  folder: string,
  programs: readonly number[],
): Partial<XdpMaps> {
  const { bpf } = addon;
  const found: Partial<XdpMaps> = {};
  for (const name of XDP_MAPS) {
    const fd = folder === '' ? null : openPin(bpf, `${folder}/${pinName(name)}`);
    if (fd !== null) found[name] = fd;
  }
  for (const program of programs) {
    for (const id of bpf.programInfo(program).maps) {
      const fd = bpf.openMapById(id);
      const name = bpf.mapInfo(fd).name as XdpMapName;
      if (XDP_MAPS.includes(name) && found[name] === undefined) found[name] = fd;
      else addon.closeFd(fd);
    }
  }
  return found;
}
