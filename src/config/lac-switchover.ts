/** The `switchover` section of a LAC: how its tunnels move to another LNS. Put into the LAC's schema as an optional key. */
import { z } from 'zod';
import type { AddressWords } from './compiled.js';
import { seconds, valid } from './endpoint-parts.js';
import { duration, text } from './schema-parts.js';
import { parseUnicast } from './values.js';

const VENDOR_MAX = 0xffff;

/** Keys besides those of the buffer, to be spread into the section. */
export const lacSwitchoverKeys = {
  enabled: z
    .boolean()
    .default(true)
    .describe('Tell LNSs that tunnels can be moved, and move them (document 002); false: as any other LAC.'),
  vendor: z
    .int()
    .min(1)
    .max(VENDOR_MAX)
    .default(32_473)
    .describe('Vendor id of the messages and AVPs of switchover; the same as at the LNSs.'),
  deadline: duration(0.5, 60).default('5s').describe('A move that takes longer is given up.'),
  suspectAfter: z
    .int()
    .min(2)
    .max(20)
    .default(3)
    .describe('An LNS is taken for dead when a control message was sent so often without an acknowledgement.'),
  hello: duration(0.1, 60)
    .default('1s')
    .describe('A Hello is sent to an LNS with a peer when nothing was heard of it for so long.'),
  firstWait: duration(0.05, 8)
    .default('250ms')
    .describe('Its first repetition, if it is not acknowledged; then after twice as long, and so on.'),
  peers: z
    .array(text(parseUnicast))
    .default([])
    .describe('LNSs that tunnels may be moved to besides the peer that each LNS has named.'),
  standby: z
    .boolean()
    .default(false)
    .describe('Keep a tunnel to each LNS’s peer open in advance: a switchover then needs no set-up.'),
} as const;

const schema = z.strictObject(lacSwitchoverKeys);
export type LacSwitchoverInput = z.output<typeof schema>;

export interface CompiledLacSwitchover {
  readonly enabled: boolean;
  readonly vendor: number;
  readonly deadline: number;
  readonly suspectAfter: number;
  readonly hello: number;
  readonly firstWait: number;
  readonly peers: readonly AddressWords[];
  readonly standby: boolean;
}

export function compileLacSwitchover(input: LacSwitchoverInput): CompiledLacSwitchover {
  const { enabled, vendor, deadline, suspectAfter, hello, firstWait, peers, standby } = input;
  return {
    enabled,
    vendor,
    deadline: seconds(deadline),
    suspectAfter,
    hello: seconds(hello),
    firstWait: seconds(firstWait),
    peers: peers.map((written) => valid(parseUnicast(written))),
    standby,
  };
}
