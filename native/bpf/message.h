/* An L2TPv2 message as src/tunnels/l2tp/header.ts and descriptor.ts read it, for packets off the short way. */
#ifndef TUNNEL_DESIGNATOR_BPF_MESSAGE_H
#define TUNNEL_DESIGNATOR_BPF_MESSAGE_H

#include "frame.h"

#define T_BIT 0x8000
#define L_BIT 0x4000
#define S_BIT 0x0800
#define O_BIT 0x0200
/* T, L, S, O and P; of a control message the first three. */
#define CONTROL_MASK 0xcb00
#define CONTROL_BITS 0xc800
#define RESERVED_MASK 0x34f0
#define VERSION_MASK 0x000f
#define MESSAGE_HEAD 20 /* bytes that are looked at: a control header and a Message Type AVP */
#define AVP_OFFSET 12

#define MESSAGE_OTHER 0 /* malformed, or nothing that would be taken for L2TP on any port */
#define MESSAGE_DATA 1
#define MESSAGE_CONTROL 2

struct message {
  td_u32 kind; /* what it looks like */
  td_u32 ids;  /* tunnel id << 16 | session id; 0 where the fan-out program spreads by address alone */
};

INLINE td_u32 half(const td_u8* p, td_u32 at) { return (td_u32)p[at] << 8 | p[at + 1]; }

/* The first AVP is a Message Type, and the only reading of these bytes. `left`: bytes from it to the message's end. */
INLINE int begins_with_type(const td_u8* avp, td_u32 left) {
  if (left < 8) return 0;
  const td_u32 head = half(avp, 0);
  /* 8 bytes, neither hidden nor with a reserved bit; vendor 0, type 0. */
  return (head & 0x7fff) == 8 && half(avp, 2) == 0 && half(avp, 4) == 0;
}

/* Reads the message of `available` bytes at `offset`. */
INLINE void read_message(const struct frame* f, td_u32 offset, td_u32 available, struct message* m) {
  td_u8 h[MESSAGE_HEAD] = {};
  m->kind = MESSAGE_OTHER;
  m->ids = 0;
  td_u32 n = available;
  OPAQUE(n);
  if (n < 6) return;
  if (n > MESSAGE_HEAD) n = MESSAGE_HEAD;
  if (bpf_xdp_load_bytes(f->ctx, offset, h, n) != 0) return;
  const td_u32 flags = half(h, 0);
  if ((flags & VERSION_MASK) != 2) return;
  const td_u32 reserved = flags & RESERVED_MASK;
  if ((flags & T_BIT) != 0) {
    const td_u32 length = half(h, 2);
    if ((flags & CONTROL_MASK) != CONTROL_BITS || reserved != 0 || length < AVP_OFFSET || length > available) return;
    m->ids = half(h, 4) << 16;
    if (length == AVP_OFFSET) {
      if (length == available && m->ids != 0) m->kind = MESSAGE_CONTROL;
    } else if (begins_with_type(h + AVP_OFFSET, length - AVP_OFFSET)) {
      m->kind = MESSAGE_CONTROL;
    }
    return;
  }
  td_u32 header = 6;
  td_u32 length = available;
  if ((flags & L_BIT) != 0) {
    header += 2;
    length = half(h, 2);
    m->ids = half(h, 4) << 16 | half(h, 6);
  } else {
    m->ids = half(h, 2) << 16 | half(h, 4);
  }
  if ((flags & S_BIT) != 0) header += 4;
  if ((flags & O_BIT) != 0) header += 2;
  if (length > available || length < header) return;
  if ((flags & O_BIT) != 0) {
    td_u8 size[2];
    if (bpf_xdp_load_bytes(f->ctx, offset + header - 2, size, 2) != 0) return;
    if (header + half(size, 0) > length) return;
  }
  if (reserved == 0 && m->ids >> 16 != 0 && (m->ids & 0xffff) != 0) m->kind = MESSAGE_DATA;
}

#endif
