/**
 * The keys that say which of document 001's architectures a VIP is: which machine's address answers come from, and what
 * part of a cluster this process is (FIG. 2 and FIG. 4). Who may have which of them is in `reply-check.ts`.
 */
import { z } from 'zod';
import { text } from './schema-parts.js';
import { parseUnicast } from './values.js';

export const PARTS = ['all', 'master', 'nat'] as const;
export const REPLIES = ['vip', 'nat', 'direct'] as const;

export const part = z
  .enum(PARTS)
  .default('all')
  .describe(
    'What of document 001’s cluster this process is. all: everything; master: it takes requests at the VIPs and sees no answers, which cross the NAT server (`reply: nat`) or go straight to the clients (`reply: direct`); nat: the NAT server alone, which sees answers and what clients send to `natAddress`. Fixed until a restart.',
  );

/** Of a VIP. */
export const replyKeys = {
  reply: z
    .enum(REPLIES)
    .default('vip')
    .describe(
      'How servers’ packets reach the client. vip: through the designator, from the virtual address; nat: through the designator, or another machine with `part: nat`, from `natAddress` (document 001, FIG. 2); direct: straight from the server’s own global address (FIG. 4). docs/replies.md tells which clients follow.',
    ),
  natAddress: text(parseUnicast)
    .optional()
    .describe(
      'With `reply: nat`, obligatory: the address that clients see answers come from. The designator answers ARP or neighbour discovery and ICMP echo for it; it must not be an address of the host.',
    ),
  localAddress: text(parseUnicast)
    .optional()
    .describe(
      'With `reply: direct`, or `reply: nat` and `part: master`: an address of the LAN that is the designator’s alone. Requests of clients that refuse answers from another address than the VIP’s are put to servers from here, so that answers come back through the designator. It must not be an address of the host.',
    ),
};

/** Of a server. */
export const globalAddress = text(parseUnicast)
  .optional()
  .describe(
    'With `reply: direct`: the address that the server answers clients from (document 001, FIG. 4), where it is not `address`.',
  );
