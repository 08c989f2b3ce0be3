/**
 * Notices when somebody takes our nftables table away: reloading the distribution's nftables service begins with
 * `flush ruleset`. Reads the kernel's notices (linux/netfilter/nf_tables.h); knows nothing of what is in the table.
 */
import type { OpenNetlink } from './host-query.js';
import { native } from './native.js';
import { readMessages } from './netlink.js';

const NETLINK_NETFILTER = 12;
/** NFNLGRP_NFTABLES is group 7. */
const NFTABLES_GROUPS = 1 << 6;
const NFTABLES = 10 << 8;
const NEW_TABLE = NFTABLES | 0;
const DELETE_TABLE = NFTABLES | 2;
/** Ends the notices of a transaction. */
const NEW_GENERATION = NFTABLES | 15;
const NFPROTO_NETDEV = 5;
const TABLE_NAME = 1;
/** struct nfgenmsg: family, version, resource id. */
const GENERIC_LENGTH = 4;

export interface FilterGuard {
  close(): void;
}

/** Calls `onGone` after every transaction that ends without the table `name` in spite of beginning with it. */
export function guardTable(name: string, onGone: () => void, open: OpenNetlink = openNative): FilterGuard {
  let gone = false;
  let closed = false;
  const socket = open(NETLINK_NETFILTER, NFTABLES_GROUPS, () => {
    while (!closed) {
      let datagram: Uint8Array | null;
      try {
        datagram = socket.receive();
      } catch {
        // ENOBUFS: the notices of a huge transaction. Writing the table anew at each would cause the next one.
        continue;
      }
      if (datagram === null) return;
      for (const { type, body } of readMessages(datagram)) {
        if ((type === NEW_TABLE || type === DELETE_TABLE) && tableOf(body) === name) gone = type === DELETE_TABLE;
        else if (type === NEW_GENERATION && gone) {
          gone = false;
          onGone();
        }
      }
    }
  });
  return {
    close: () => {
      closed = true;
      socket.close();
    },
  };
}

function openNative(protocol: number, groups: number, onReadable: () => void) {
  return new (native().NetlinkSocket)(protocol, groups, onReadable);
}

/** Name of a netdev table, '' for any other. The name is the first attribute. */
function tableOf(body: DataView): string {
  if (body.byteLength < GENERIC_LENGTH + 4 || body.getUint8(0) !== NFPROTO_NETDEV) return '';
  const length = body.getUint16(GENERIC_LENGTH, true);
  if (
    body.getUint16(GENERIC_LENGTH + 2, true) !== TABLE_NAME ||
    length < 5 ||
    GENERIC_LENGTH + length > body.byteLength
  )
    return '';
  const bytes = new Uint8Array(body.buffer, body.byteOffset + GENERIC_LENGTH + 4, length - 5); // a zero byte ends it
  return String.fromCharCode(...bytes);
}
