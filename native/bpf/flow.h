/* A key of the connection table and what was found under it: src/flow/connection-table.ts, read by another reader. */
#ifndef TUNNEL_DESIGNATOR_BPF_FLOW_H
#define TUNNEL_DESIGNATOR_BPF_FLOW_H

#include "frame.h"

struct flow {
  td_u32 key[TD_KEY_WORDS]; /* client address, keyA, keyB, tag */
  td_u32 ids;               /* tunnel id << 16 | session id, for spreading */
  td_u32 from_client;
};

#define FOUND_NOT 0
#define FOUND 1
#define FOUND_UNSURE 2 /* it may be there: its writer is at it, or it lies where this program does not look */

/* What an entry orders, copied under its version. */
struct orders {
  td_u32* entry;
  td_u32 version, target, ports, record;
};

INLINE void lay_key(struct flow* k, td_u32 address, td_u32 client_port, td_u32 local_port, td_u32 channel) {
  k->key[4] = client_port << 16 | (k->from_client ? local_port : 0);
  k->key[5] = channel;
  k->key[6] = address << 16 | TD_PROTOCOL_L2TP << 8 | (k->from_client ? TD_TABLE_FORWARD : TD_TABLE_REVERSE);
}

/* The hash that spreads data packets: that of native/fanout.cc. */
INLINE td_u32 spread_hash(const struct flow* k) {
  td_u32 h = k->key[0] ^ k->key[1] ^ k->key[2] ^ k->key[3] ^ k->ids * TD_HASH_M2;
  h *= TD_HASH_M1;
  h ^= h >> 16;
  return h & (TD_OWNER_SLOT_COUNT - 1);
}

/* The highest bit of every byte of `difference` that is 0. */
INLINE td_u32 candidates(td_u32 difference) {
  return ~(((difference & 0x7f7f7f7f) + 0x7f7f7f7f) | difference) & 0x80808080;
}

/* Slots that are tried of the eight in two buckets: that more of them have one fingerprint is next to impossible. */
#define CANDIDATE_LIMIT 4

/* Tries the slots of two buckets whose fingerprint words are given. */
INLINE int among(const struct frame* f, const struct flow* k, const int wide, td_u32 a, td_u32 b, td_u32 word_a,
                 td_u32 word_b, td_u32 wanted, struct orders* o) {
  td_u32 mask = candidates(word_a ^ wanted) | candidates(word_b ^ wanted) >> 1;
  int result = FOUND_NOT;
#pragma clang loop unroll(disable)
  for (td_u32 n = 0; n < CANDIDATE_LIMIT; n++) {
    if (mask == 0) return result;
    const td_u32 lowest = mask & -mask;
    mask ^= lowest;
    /* One multiplication each turns the bit into its byte's number and into "of the second bucket", without a branch
     * that nobody could foretell. */
    const td_u32 second = (lowest >> 6 & 0x01010101) * 0x01010101 >> 24;
    const td_u32 place = ((lowest >> 6 | lowest >> 7) & 0x01010101) * 0x00010203 >> 24;
    const td_u32 slot = (a ^ ((a ^ b) & -second)) << 2 | place;
    td_u32* entry = element(FIRST(f, TD_XDP_ENTRIES) + slot);
    if (!entry) return FOUND_UNSURE;
    const td_u32 version = ONCE(entry[TD_ENTRY_VERSION]);
    ORDERED();
    const td_u32 record = ONCE(entry[TD_ENTRY_RECORD]);
    td_u32 difference = (entry[TD_ENTRY_CLIENT + 3] ^ k->key[3]) | (entry[TD_ENTRY_KEY_A] ^ k->key[4]) |
                        (entry[TD_ENTRY_KEY_B] ^ k->key[5]) | (entry[TD_ENTRY_TAG] ^ k->key[6]);
    if (wide) {
      difference |= (entry[TD_ENTRY_CLIENT] ^ k->key[0]) | (entry[TD_ENTRY_CLIENT + 1] ^ k->key[1]) |
                    (entry[TD_ENTRY_CLIENT + 2] ^ k->key[2]);
    } else {
      difference |= ~record & TD_FLAG_IPV4;
    }
    o->target = ONCE(entry[TD_ENTRY_TARGET]);
    o->ports = ONCE(entry[TD_ENTRY_PORTS]);
    ORDERED();
    if ((version & 1) != 0 || ONCE(entry[TD_ENTRY_VERSION]) != version) {
      result = FOUND_UNSURE;
      continue;
    }
    if (difference != 0) continue;
    o->entry = entry;
    o->version = version;
    o->record = record;
    return FOUND;
  }
  return mask == 0 ? result : FOUND_UNSURE;
}

INLINE td_u32 fingerprints_of(const struct frame* f, td_u32 bucket) {
  td_u32* line = element(FIRST(f, TD_XDP_FINGERPRINTS) + bucket / TD_LINE_BUCKETS);
  return line ? ONCE(line[bucket % TD_LINE_BUCKETS]) : 0;
}

/* Looks the key up. `wide`: the client's address need not be an IPv4 one. */
INLINE int find_flow(const struct frame* f, const struct flow* k, const int wide, struct orders* o) {
  td_u32 m[TD_KEY_WORDS];
  for (td_u32 i = 0; i < TD_KEY_WORDS; i++) m[i] = FIRST(f, TD_XDP_MULTIPLIERS + i);
  const td_u32 hash = td_hash_key(k->key, m);
  const td_u32 bucket_count = FIRST(f, TD_XDP_BUCKET_COUNT);
  const td_u32 wanted = td_fingerprint_of(hash) * 0x01010101;
  td_u32 a = td_bucket_of(hash, bucket_count);
  td_u32 b = td_other_bucket(a, hash);
  td_u32* line = element(FIRST(f, TD_XDP_FINGERPRINTS) + a / TD_LINE_BUCKETS);
  if (!line) return FOUND_UNSURE;
  int result = among(f, k, wide, a, b, ONCE(line[a % TD_LINE_BUCKETS]), ONCE(line[b % TD_LINE_BUCKETS]), wanted, o);
  OPAQUE(result);
  if (result != FOUND_NOT) return result;
  td_u32* header = element(TD_HEADER_OVERFLOW_ENTRIES / 16);
  if (!header || ONCE(header[TD_HEADER_OVERFLOW_ENTRIES % 16]) == 0) return FOUND_NOT;
  const td_u32 third = td_third_hash(hash);
  a = td_bucket_of(third, bucket_count);
  b = td_bucket_of(td_fourth_hash(third), bucket_count);
  result = among(f, k, wide, a, b, fingerprints_of(f, a), fingerprints_of(f, b), wanted, o);
  if (result != FOUND_NOT) return result;
  /* Entries that lie still farther are found by the shards alone. */
  return ONCE(header[TD_HEADER_OVERFLOW_REACH % 16]) > 2 ? FOUND_UNSURE : FOUND_NOT;
}

#endif
