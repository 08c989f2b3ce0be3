/** A server's end of take-over in a namespace: the real thing in a child process, asked from here. */
import type { Namespace } from '../../src/demo/lab/namespace.js';
import { LineChild } from './line-child.js';

/** `settings`: the `takeOver` section as it is written. `stop` leaves the host as it was. */
export function startTakeOverPeer(namespace: Namespace, settings: object): Promise<LineChild> {
  return LineChild.start(namespace, 'take-over-child.mjs', [JSON.stringify(settings)]);
}
