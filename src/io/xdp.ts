/**
 * The `xdp` adapter: AF_XDP sockets behind the packet port. The main thread makes all sockets of the process (`openXskSet`),
 * a shard's thread attaches to them (`openXdpPort`). What comes through them has left the kernel's way to the host.
 */
import { DesignatorError } from '../errors.js';
import { native, type XskRingOptions, type XskSet, type XskSetOptions } from './native.js';
import type { PacketPort } from './port.js';

/**
 * Errors: TD_NO_PERMISSION without CAP_NET_RAW, TD_CONFIG no such interface, TD_CONFLICT another process has a queue,
 * TD_UNAVAILABLE anything else that the kernel refuses, zero-copy where it was asked for among it.
 */
export function openXskSet(options: XskSetOptions): XskSet {
  try {
    return new (native().XskSet)(options);
  } catch (cause) {
    throw openError(cause as NodeJS.ErrnoException);
  }
}

/** Errors: TD_UNAVAILABLE. A `turn` throws it when an interface is deleted; one that is down costs only its frames. */
export function openXdpPort(options: XskRingOptions, description: string): PacketPort {
  const ring = new (native().XskRing)(options);
  return {
    kind: 'xdp',
    description,
    frames: ring.frames,
    columns: ring.columns,
    scratchOffset: ring.scratchOffset,
    clock: options.clock,
    turn(received, scratch, waitMs) {
      try {
        return ring.turn(received, scratch, waitMs);
      } catch (cause) {
        const { code, message } = cause as NodeJS.ErrnoException;
        throw code === 'ENODEV' ? new DesignatorError('TD_UNAVAILABLE', message, {}, cause) : cause;
      }
    },
    rewrite: (received, scratch) => ring.rewrite(received, scratch),
    statistics: () => ring.statistics(),
    close: () => ring.close(),
  };
}

function openError(cause: NodeJS.ErrnoException): Error {
  const { code, message } = cause;
  switch (code) {
    case undefined:
      return cause;
    case 'EPERM':
    case 'EACCES':
      return new DesignatorError('TD_NO_PERMISSION', `AF_XDP sockets need CAP_NET_RAW (${message})`, {}, cause);
    case 'ENODEV':
      return new DesignatorError('TD_CONFIG', message, {}, cause);
    case 'EBUSY':
      return new DesignatorError('TD_CONFLICT', `another process has AF_XDP sockets there: ${message}`, {}, cause);
    case 'ENOMEM':
    case 'ENOBUFS':
      return new DesignatorError(
        'TD_UNAVAILABLE',
        `no memory for AF_XDP: ${message}; a higher limit of locked memory, fewer workers or fewer receive queues need less`,
        {},
        cause,
      );
    case 'EOPNOTSUPP':
      return new DesignatorError(
        'TD_UNAVAILABLE',
        `AF_XDP: the driver has no zero-copy, or the kernel no AF_XDP (${message})`,
        {},
        cause,
      );
    default:
      return new DesignatorError('TD_UNAVAILABLE', `AF_XDP: ${message}`, {}, cause);
  }
}
