/* The connection table's hash functions, as in src/flow/hash.ts, which explains them. Plain C, 32-bit arithmetic only:
 * the XDP program includes it too. */
#ifndef TUNNEL_DESIGNATOR_HASH_H
#define TUNNEL_DESIGNATOR_HASH_H

#include "layout.h"

typedef unsigned int td_u32;
typedef unsigned long long td_u64;

#define TD_HASH_M1 0x9e3779b1U
#define TD_HASH_M2 0x85ebca6bU
#define TD_HASH_M3 0xc2b2ae35U
#define TD_HASH_M4 0x27d4eb2fU

/* What a table's seed gives, one odd multiplier for each word of a key. */
static inline td_u32 td_multiplier(td_u32 seed, td_u32 index) {
  td_u32 m = (seed + index * TD_HASH_M1 + TD_HASH_M2) * TD_HASH_M3;
  m = (m ^ (m >> 15)) * TD_HASH_M4;
  return (m ^ (m >> 16)) | 1;
}

/* The hash of TD_KEY_WORDS words; m: the multipliers. */
static inline td_u32 td_hash_key(const td_u32* k, const td_u32* m) {
  td_u32 h = k[0] * m[0] + k[1] * m[1] + k[2] * m[2] + k[3] * m[3];
  h += (k[4] ^ (k[4] >> 16)) * m[4] + k[5] * m[5] + k[6] * m[6];
  h = (h ^ (h >> 15)) * TD_HASH_M2;
  return (h ^ (h >> 15)) * TD_HASH_M3;
}

static inline td_u32 td_fingerprint_of(td_u32 hash) {
  const td_u32 low = hash & 0xff;
  return low + (((low - TD_FINGERPRINT_FIRST) >> 29) & TD_FINGERPRINT_FIRST);
}

static inline td_u32 td_other_bucket(td_u32 bucket, td_u32 hash) {
  return bucket ^ (((hash >> 8) & (TD_LINE_BUCKETS - 2)) | 1);
}

static inline td_u32 td_third_hash(td_u32 hash) { return (hash ^ (hash >> 16)) * TD_HASH_M1; }

static inline td_u32 td_fourth_hash(td_u32 third) { return (third ^ (third >> 15)) * TD_HASH_M2; }

static inline td_u32 td_bucket_of(td_u32 hash, td_u32 bucket_count) {
  return (td_u32)(((td_u64)hash * bucket_count) >> 32);
}

static inline td_u32 td_owner_slot(td_u32 a0, td_u32 a1, td_u32 a2, td_u32 a3) {
  td_u32 h = (a0 ^ a1 ^ a2 ^ a3) * TD_HASH_M1;
  h ^= h >> 16;
  return h & (TD_OWNER_SLOT_COUNT - 1);
}

static inline td_u32 td_client_list(td_u32 a0, td_u32 a1, td_u32 a2, td_u32 a3) {
  td_u32 h = (a0 ^ a1 ^ a2 ^ a3) * TD_HASH_M1;
  h ^= h >> 16;
  return h & (TD_CLIENT_LISTS - 1);
}

static inline td_u32 td_spread_address(td_u32 a0, td_u32 a1, td_u32 a2, td_u32 a3, td_u32 seed) {
  td_u32 h = (a0 ^ a1 ^ a2 ^ a3 ^ seed) * TD_HASH_M1;
  h = (h ^ (h >> 15)) * TD_HASH_M2;
  return h ^ (h >> 13);
}

#endif
