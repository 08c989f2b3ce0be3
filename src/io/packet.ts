/**
 * The `packet` adapter: AF_PACKET rings of the addon behind the packet port. Runs in a shard's thread; it is only a tap,
 * so the host's drop filter (host-filter.ts) must be in place before it is opened.
 */
import { DesignatorError } from '../errors.js';
import { native, type PacketRingOptions } from './native.js';
import type { PacketPort } from './port.js';

/** Errors: TD_NO_PERMISSION without CAP_NET_RAW, TD_CONFIG no such interface, TD_UNAVAILABLE anything else. */
export function openPacketPort(options: PacketRingOptions): PacketPort {
  try {
    const ring = new (native().PacketRing)(options);
    return {
      kind: 'packet',
      description: 'packet',
      frames: ring.frames,
      columns: ring.columns,
      scratchOffset: ring.scratchOffset,
      clock: options.clock,
      turn: (received, scratch, waitMs) => ring.turn(received, scratch, waitMs),
      rewrite: (received, scratch) => ring.rewrite(received, scratch),
      statistics: () => ring.statistics(),
      close: () => ring.close(),
    };
  } catch (cause) {
    throw asPacketError(cause as NodeJS.ErrnoException);
  }
}

function asPacketError(cause: NodeJS.ErrnoException): Error {
  switch (cause.code) {
    case 'EPERM':
    case 'EACCES':
      return new DesignatorError('TD_NO_PERMISSION', `packet sockets need CAP_NET_RAW (${cause.message})`, {}, cause);
    case 'ENODEV':
      return new DesignatorError('TD_CONFIG', cause.message, {}, cause);
    default:
      return new DesignatorError('TD_UNAVAILABLE', `AF_PACKET: ${cause.message}`, {}, cause);
  }
}
