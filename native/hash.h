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

struct td_hashed {
  td_u32 first, second, fingerprint;
};

/* Hashes TD_KEY_WORDS words. */
static inline struct td_hashed td_hash_key(const td_u32* k, td_u32 seed) {
  struct td_hashed h;
  td_u32 a = (k[0] ^ seed) * TD_HASH_M1;
  td_u32 b = (k[2] ^ seed) * TD_HASH_M2;
  td_u32 c = (k[4] ^ seed) * TD_HASH_M3;
  td_u32 d = (k[6] ^ seed) * TD_HASH_M4;
  td_u32 x, y;
  a = ((a ^ (a >> 15)) + k[1]) * TD_HASH_M2;
  b = ((b ^ (b >> 15)) + k[3]) * TD_HASH_M3;
  c = ((c ^ (c >> 15)) + k[5]) * TD_HASH_M4;
  x = (a ^ (a >> 16)) + b;
  y = (c ^ (c >> 16)) + d;
  x = (x ^ (x >> 15)) * TD_HASH_M1;
  y = (y ^ (y >> 15)) * TD_HASH_M3;
  h.first = ((x ^ (x >> 16)) + y) * TD_HASH_M2;
  h.second = ((y ^ (y >> 16)) + (x ^ (x >> 13))) * TD_HASH_M4;
  h.first ^= h.first >> 15;
  h.second ^= h.second >> 16;
  h.fingerprint = (h.first * TD_HASH_M3 + h.second) | TD_FINGERPRINT_FIRST;
  return h;
}

static inline td_u32 td_third_hash(td_u32 first, td_u32 second) {
  const td_u32 h = (first ^ (second >> 7)) * TD_HASH_M1;
  return h ^ (h >> 16);
}

static inline td_u32 td_fourth_hash(td_u32 first, td_u32 second) {
  const td_u32 h = (second ^ (first >> 9)) * TD_HASH_M3;
  return h ^ (h >> 16);
}

static inline td_u32 td_bucket_of(td_u32 hash, td_u32 bucket_count) {
  return (td_u32)(((td_u64)hash * bucket_count) >> 32);
}

static inline td_u32 td_owner_slot(td_u32 a0, td_u32 a1, td_u32 a2, td_u32 a3) {
  td_u32 h = (a0 ^ a1 ^ a2 ^ a3) * TD_HASH_M1;
  h ^= h >> 16;
  return h & (TD_OWNER_SLOT_COUNT - 1);
}

#endif
