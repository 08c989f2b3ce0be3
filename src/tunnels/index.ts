/** Every tunnel protocol that is built in. A new one is a folder beside `l2tp/` and a line here. */
import type { TunnelDescriptor } from './descriptor.js';
import { l2tp } from './l2tp/descriptor.js';

const BUILT_IN: readonly TunnelDescriptor[] = [l2tp];

/** By the name in `vips[].protocols`. Where protocols share a port, the order is the order in which they are asked. */
export const DESCRIPTORS: ReadonlyMap<string, TunnelDescriptor> = new Map(BUILT_IN.map((d) => [d.name, d]));
