/**
 * What an interface can do for XDP. The facts behind it, measured on Linux 6.18 with veth pairs:
 *
 * - A device's `xdp-features` have NDO_XMIT while others may redirect into it. A veth has it while its PEER has NAPI: GRO
 *   switched on there, or a program in the driver; a generic program there does not count. Without it what is redirected
 *   there natively is lost, and no counter of any device moves.
 * - XDP_TX out of a veth waits for ever in its peer's ring unless the PEER has a program in the driver: GRO is not enough,
 *   whatever the features say. A redirect to the very same device does arrive with GRO alone.
 * - A program of our own on the veth changes what its peer may do, not what may be redirected into it.
 * - Generic redirect and generic XDP_TX go the way of ordinary frames and arrive on a plain pair too; so does what an
 *   AF_XDP socket sends in copy mode, beside a native program as well.
 * - A veth hands on the VLAN tag as the sender gave it: with `tx-vlan-offload` there, as it is by default, the tag stands
 *   beside the frame, where no program sees it, whatever our end's `rx-vlan-offload` says.
 * - Native XDP on a veth is refused (ERANGE) when the peer's frames do not fit into one page.
 */
import { DesignatorError } from '../errors.js';
import { LinkQuery, NetlinkRefusal, XDP_FEATURE } from './link-query.js';
import type { NativeAddon } from './native.js';
import { isOurs, type XdpDevice } from './xdp-attachment.js';

/** The largest MTU with which a frame, a VLAN tag and the driver's room around it fit into a page of 4096 bytes. */
export const XDP_MTU_LIMIT = 3498;

export interface XdpDeviceFacts extends XdpDevice {
  readonly mtu: number;
  /** True, or why the driver cannot run a program itself. */
  readonly native: true | string;
  /** Natively redirected frames arrive; null when this kernel cannot tell. */
  readonly redirectInto: boolean | null;
  /** What a native program sends back out of the device (XDP_TX) arrives for certain. */
  readonly transmit: boolean;
  readonly zeroCopy: boolean;
  /** `veth`, `bridge` …; empty for hardware. */
  readonly kind: string;
  /** The device takes VLAN tags out of frames, beyond a program's sight: no; yes; yes, and it cannot be turned off. */
  readonly rxVlan: 'off' | 'on' | 'fixed';
  /** Receive queues in use. */
  readonly queues: number;
  /** `xdp_stats (id 12)`: somebody else's program is there; null none. */
  readonly foreign: string | null;
}

/** Errors: TD_NOT_FOUND no such interface. */
export function readXdpDevice(
  addon: Pick<NativeAddon, 'bpf' | 'closeFd' | 'NetlinkSocket'>,
  device: XdpDevice,
): XdpDeviceFacts {
  const query = new LinkQuery(addon);
  try {
    const features = query.features(device.index);
    const has = (bits: number): boolean => features !== null && (features & bits) === bits;
    const kind = query.kind(device.index);
    const able = features === null || has(XDP_FEATURE.basic | XDP_FEATURE.redirect);
    return {
      name: device.name,
      index: device.index,
      mtu: query.mtu(device.index),
      native: able ? true : `the driver of ${device.name} has no native XDP with redirect`,
      redirectInto: features === null ? null : has(XDP_FEATURE.ndoXmit),
      transmit: kind !== 'veth',
      zeroCopy: has(XDP_FEATURE.zeroCopy),
      kind,
      rxVlan: query.rxVlanOffload(device.index),
      queues: query.queues(device.index),
      foreign: foreignProgram(addon, query, device.index),
    };
  } catch (error) {
    if (!(error instanceof NetlinkRefusal)) throw error;
    throw new DesignatorError('TD_NOT_FOUND', `interface ${device.name}: ${error.message}`, { ...device }, error);
  } finally {
    query.close();
  }
}

function foreignProgram(addon: Pick<NativeAddon, 'bpf' | 'closeFd'>, query: LinkQuery, index: number): string | null {
  const { attached, native, generic } = query.attachment(index);
  if (attached === 'none') return null;
  const id = native || generic;
  let program = -1;
  try {
    program = addon.bpf.openProgramById(id);
    return isOurs(addon, program) ? null : `${addon.bpf.programInfo(program).name} (id ${id})`;
  } catch {
    return `unknown (id ${id})`; // it is not for us to see, so it is not ours
  } finally {
    if (program >= 0) addon.closeFd(program);
  }
}
