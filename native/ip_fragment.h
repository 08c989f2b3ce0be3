// fragment_ipv4 of ip_answers.h.
#pragma once

#include <cstring>

#include "checksum.h"

namespace td {

constexpr uint32_t kIpv4HeaderLimit = 60;

template <typename Emit>
void fragment_ipv4(const uint8_t* packet, uint32_t length, uint32_t mtu, Emit emit) noexcept {
  const uint32_t header_length = (packet[0] & 15U) * 4;
  if (mtu < header_length + 8) return;
  const uint32_t room = (mtu - header_length) & ~7U;
  const uint32_t place = load16(packet + 6);
  uint8_t header[kIpv4HeaderLimit];
  std::memcpy(header, packet, header_length);
  for (uint32_t at = header_length; at < length; at += room) {
    const uint32_t part = length - at < room ? length - at : room;
    const bool last = at + part == length;
    store16(header + 2, header_length + part);
    // The last fragment of a fragment has the flag that the whole had.
    store16(header + 6, ((place & 0x1fff) + (at - header_length) / 8) | (last ? place & 0x2000 : 0x2000));
    store16(header + 10, 0);
    store16(header + 10, static_cast<uint16_t>(~sum_bytes(header, header_length)));
    emit(header, header_length, packet + at, part);
    if (at != header_length) continue;
    // Options that are not copied (RFC 791) become no-operations in the fragments that follow.
    for (uint32_t o = 20; o < header_length && header[o] != 0;) {
      const uint32_t size = header[o] == 1 || o + 1 >= header_length ? 1 : header[o + 1];
      if (size == 0 || o + size > header_length) break;
      if ((header[o] & 0x80) == 0) std::memset(header + o, 1, size);
      o += size;
    }
  }
}

}  // namespace td
