/**
 * The `packet` adapter: AF_PACKET rings of the addon behind the packet port. Runs in a shard's thread; it is only a tap,
 * so the host's drop filter (host-filter.ts) must be in place before it is opened.
 */
import { DesignatorError } from '../errors.js';
import { native, type PacketRingOptions } from './native.js';
import type { PacketPort } from './port.js';

/**
 * Opens the rings. Errors: TD_NO_PERMISSION without CAP_NET_RAW, TD_CONFIG no such interface, TD_UNAVAILABLE anything
 * else that the kernel refuses. A `turn` throws TD_UNAVAILABLE when an interface is deleted; one that is only down costs
 * the frames sent to it.
 */
export function openPacketPort(options: PacketRingOptions): PacketPort {
  const ring = attempt(() => new (native().PacketRing)(options));
  return {
    kind: 'packet',
    description: 'packet',
    frames: ring.frames,
    columns: ring.columns,
    scratchOffset: ring.scratchOffset,
    clock: options.clock,
    turn(received, scratch, waitMs) {
      try {
        return ring.turn(received, scratch, waitMs);
      } catch (cause) {
        throw turnError(cause as NodeJS.ErrnoException);
      }
    },
    rewrite: (received, scratch) => ring.rewrite(received, scratch),
    statistics: () => ring.statistics(),
    close: () => ring.close(),
  };
}

/** Whether AF_PACKET rings may be used here: undefined, or why not (TD_NO_PERMISSION, TD_UNAVAILABLE). */
export function probePacket(): DesignatorError | undefined {
  try {
    attempt(() => native().probePacketSocket());
    return undefined;
  } catch (error) {
    if (error instanceof DesignatorError) return error;
    throw error;
  }
}

function attempt<T>(open: () => T): T {
  try {
    return open();
  } catch (cause) {
    throw openError(cause as NodeJS.ErrnoException);
  }
}

/** Errors of the kernel have a code; a wrong option is a mistake in the program and stays what it is. */
function openError(cause: NodeJS.ErrnoException): Error {
  switch (cause.code) {
    case undefined:
      return cause;
    case 'EPERM':
    case 'EACCES':
      return new DesignatorError('TD_NO_PERMISSION', `packet sockets need CAP_NET_RAW (${cause.message})`, {}, cause);
    case 'ENODEV':
      return new DesignatorError('TD_CONFIG', cause.message, {}, cause);
    default:
      return cause instanceof DesignatorError
        ? cause
        : new DesignatorError('TD_UNAVAILABLE', `AF_PACKET: ${cause.message}`, {}, cause);
  }
}

function turnError(cause: NodeJS.ErrnoException): Error {
  return cause.code === 'ENODEV' ? new DesignatorError('TD_UNAVAILABLE', cause.message, {}, cause) : cause;
}
