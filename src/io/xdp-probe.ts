/** What carries the packets: what this machine can do, and the choice by it. */
import os from 'node:os';
import { DesignatorError, type ErrorCode } from '../errors.js';
import { type BpfFailure, MAP_ARRAY, MAP_MMAPABLE, MAP_XSKMAP } from './bpf.js';
import type { NativeAddon } from './native.js';
import type { XdpDevice, XdpMode } from './xdp-attachment.js';
import { readXdpDevice, XDP_MTU_LIMIT, type XdpDeviceFacts } from './xdp-features.js';

export interface XdpFacts {
  /** As os.arch() names it. */
  readonly arch: string;
  /** null: bpf(2) gives us what is needed; else why not. */
  readonly refusal: { readonly code: 'TD_NO_PERMISSION' | 'TD_UNAVAILABLE'; readonly reason: string } | null;
  /** Outside and inside; one when they are the same. */
  readonly devices: readonly XdpDeviceFacts[];
  /** Names of those that carry a VLAN of ours. */
  readonly tagged: readonly string[];
}

export type IoRequest = 'auto' | 'xdp' | 'packet';

export interface IoDecision {
  readonly io: 'xdp' | 'packet';
  readonly mode: XdpMode;
  /** The program may forward. */
  readonly offload: boolean;
  /** For `XskSet`. */
  readonly copy: 'auto' | 'copy';
  /** Why it is not a better one; one sentence each, without a stop. */
  readonly reasons: readonly string[];
  /** `xdp-native zero-copy`, `xdp-native copy`, `xdp-generic` or `packet`. */
  readonly words: string;
}

/** Asks the kernel. Leaves nothing behind. Errors: TD_NOT_FOUND no such interface. */
export function readXdpFacts(
  addon: Pick<NativeAddon, 'bpf' | 'closeFd' | 'NetlinkSocket'>,
  outside: XdpDevice,
  inside: XdpDevice,
  tagged: readonly string[] = [],
  arch: string = os.arch(),
): XdpFacts {
  const devices = outside.index === inside.index ? [outside] : [outside, inside];
  return { arch, refusal: probeBpf(addon), devices: devices.map((device) => readXdpDevice(addon, device)), tagged };
}

function probeBpf(addon: Pick<NativeAddon, 'bpf' | 'closeFd'>): XdpFacts['refusal'] {
  const probe = { keyLength: 4, valueLength: 4, entries: 1, name: 'td_probe' };
  const needed = [
    { type: MAP_ARRAY, flags: MAP_MMAPABLE, what: 'arrays that can be mapped (Linux 5.5)' },
    { type: MAP_XSKMAP, flags: 0, what: 'AF_XDP (CONFIG_XDP_SOCKETS)' },
  ];
  for (const { type, flags, what } of needed) {
    try {
      const map = addon.bpf.createMap({ ...probe, type, flags });
      try {
        // Whose program is on an interface is asked by its number, for which the kernel wants CAP_SYS_ADMIN.
        addon.closeFd(addon.bpf.openMapById(addon.bpf.mapInfo(map).id));
      } finally {
        addon.closeFd(map);
      }
    } catch (error) {
      const { code, message } = error as BpfFailure;
      return code === 'EPERM' || code === 'EACCES'
        ? {
            code: 'TD_NO_PERMISSION',
            reason:
              'bpf(2) is not permitted: CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN (to see what is on an interface) are needed',
          }
        : { code: 'TD_UNAVAILABLE', reason: `this kernel has no ${what}: ${message}` };
    }
  }
  return null;
}

interface Obstacle {
  readonly code: ErrorCode;
  readonly reason: string;
}

/** What makes XDP impossible on this machine, in order of what should be told first. */
function obstacles(facts: XdpFacts): Obstacle[] {
  const found: Obstacle[] = [];
  if (facts.arch !== 'x64') {
    found.push({
      code: 'TD_UNAVAILABLE',
      reason: `XDP is built for x64 only, not ${facts.arch}: its program needs barriers there that are not tested`,
    });
  }
  if (facts.refusal !== null) found.push(facts.refusal);
  for (const { name, mtu, foreign, rxVlan } of facts.devices) {
    if (foreign !== null) {
      found.push({
        code: 'TD_CONFLICT',
        reason: `another XDP program, ${foreign}, is on ${name} and is never replaced; \`ip link set dev ${name} xdp off\` takes it off`,
      });
    }
    if (mtu > XDP_MTU_LIMIT) {
      found.push({
        code: 'TD_UNAVAILABLE',
        reason: `${name} has an MTU of ${mtu}; XDP needs frames that fit into one page: at most ${XDP_MTU_LIMIT}`,
      });
    }
    if (rxVlan === 'fixed' && facts.tagged.includes(name)) {
      found.push({
        code: 'TD_UNAVAILABLE',
        reason: `${name} takes VLAN tags out of frames before XDP sees them, and that cannot be turned off (rx-vlan-offload is fixed)`,
      });
    }
  }
  return found;
}

/**
 * The adapter for what the configuration asks for. With `auto` whatever is in the way leads to `packet`; with `xdp` it is
 * an error: TD_NO_PERMISSION, TD_CONFLICT (a foreign program) or TD_UNAVAILABLE.
 */
export function decideIo(request: IoRequest, offload: boolean, facts: XdpFacts): IoDecision {
  if (request === 'packet') return packet([]);
  const found = obstacles(facts);
  if (found.length > 0) {
    const reasons = found.map(({ reason }) => reason);
    if (request === 'auto') return packet(reasons);
    throw new DesignatorError(found[0].code, `io: xdp: ${reasons.join('; ')}`, { reasons });
  }
  const reasons = tagsOfSenders(facts);
  // What the far end does with tags cannot be asked from here, and frames would be missed without a word.
  if (reasons.length > 0 && request === 'auto') return packet(reasons);
  const better = reasons.length;
  for (const { native } of facts.devices) if (native !== true) reasons.push(native);
  if (offload) {
    for (const { name, redirectInto } of facts.devices) {
      if (redirectInto === false) {
        reasons.push(
          `frames that XDP redirects into ${name} natively would be lost: its far end has no NAPI (\`ethtool -K PEER gro on\` gives it)`,
        );
      }
    }
  }
  if (reasons.length > better)
    return { io: 'xdp', mode: 'generic', offload, copy: 'copy', reasons, words: 'xdp-generic' };
  const unknown = facts.devices.filter(({ redirectInto }) => offload && redirectInto === null);
  for (const { name } of unknown) {
    reasons.push(`this kernel cannot tell whether ${name} takes redirected frames; its counters are watched`);
  }
  const zeroCopy = facts.devices.every((device) => device.zeroCopy);
  const copied = facts.devices.filter((device) => !device.zeroCopy).map(({ name }) => name);
  if (!zeroCopy) reasons.push(`the driver of ${copied.join(' and ')} has no zero-copy`);
  const words = `xdp-native ${zeroCopy ? 'zero-copy' : 'copy'}`;
  return { io: 'xdp', mode: 'native', offload, copy: zeroCopy ? 'auto' : 'copy', reasons, words };
}

function tagsOfSenders({ devices, tagged }: XdpFacts): string[] {
  return devices
    .filter(({ name, kind }) => kind === 'veth' && tagged.includes(name))
    .map(
      ({ name }) =>
        `XDP sees no VLAN tag on ${name}, a veth, unless its far end writes tags into frames (\`ethtool -K PEER txvlan off\`)`,
    );
}

function packet(reasons: readonly string[]): IoDecision {
  return { io: 'packet', mode: 'native', offload: false, copy: 'copy', reasons, words: 'packet' };
}
