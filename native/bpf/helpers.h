/* What a BPF program needs of the kernel, declared by hand: helpers, map definitions, byte order. The numbers are those
 * of <linux/bpf.h>; the map definitions are read by our own loader (native/bpf_object.cc), which needs no BTF. */
#ifndef TUNNEL_DESIGNATOR_BPF_HELPERS_H
#define TUNNEL_DESIGNATOR_BPF_HELPERS_H

#include <linux/bpf.h>

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))

/* hash.h is made of small functions; none of them may become a call to another BPF function. */
#define inline inline __attribute__((always_inline, unused))
#include "../hash.h"
#undef inline

typedef __u8 td_u8;
typedef __u16 td_u16;

/* A map: its symbol's name is what the loader asks for. Whoever creates it says the same numbers again. */
struct td_map {
  td_u32 type, key_length, value_length, entries, flags;
};

static void* (*bpf_map_lookup_elem)(void* map, const void* key) = (void*)BPF_FUNC_map_lookup_elem;
static long (*bpf_redirect_map)(void* map, td_u64 key, td_u64 flags) = (void*)BPF_FUNC_redirect_map;
static long (*bpf_xdp_adjust_head)(struct xdp_md* ctx, int delta) = (void*)BPF_FUNC_xdp_adjust_head;
static long (*bpf_xdp_load_bytes)(struct xdp_md* ctx, td_u32 offset, void* to,
                                  td_u32 length) = (void*)BPF_FUNC_xdp_load_bytes;
static long (*bpf_xdp_store_bytes)(struct xdp_md* ctx, td_u32 offset, void* from,
                                   td_u32 length) = (void*)BPF_FUNC_xdp_store_bytes;
static td_u64 (*bpf_ktime_get_coarse_ns)(void) = (void*)BPF_FUNC_ktime_get_coarse_ns;
static td_u64 (*bpf_jiffies64)(void) = (void*)BPF_FUNC_jiffies64;

#define SWAP16(x) ((td_u16)__builtin_bswap16(x))
#define SWAP32(x) ((td_u32)__builtin_bswap32(x))
#define SWAP64(x) ((td_u64)__builtin_bswap64(x))

/* A word that others write meanwhile: read once, where it stands. */
#define ONCE(x) (*(volatile td_u32*)&(x))
/* Loads before it are not moved behind it. x86-64 keeps loads in order by itself, so this binds the compiler alone. */
#define ORDERED() __asm__ volatile("" ::: "memory")
/* The compiler forgets what it knows of `x`, so that a bound that was just tested stays tested on the register used. */
#define OPAQUE(x) __asm__ volatile("" : "+r"(x))

#endif
