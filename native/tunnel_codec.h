// L2TPv2 data headers (RFC 2661 §3.1) and the PPP header behind them: bytes to fields and back.
#pragma once

#include <cstdint>

#include "checksum.h"

namespace td {

constexpr uint32_t kL2tpControl = 0x8000, kL2tpLength = 0x4000, kL2tpSequence = 0x0800, kL2tpOffset = 0x0200;
constexpr uint32_t kL2tpVersion = 2;
constexpr uint16_t kPppIpv4 = 0x0021, kPppIpv6 = 0x0057;
/// Longest that is put before an IP packet: L2TP with L, S (12 bytes), FF 03 and the protocol.
constexpr uint32_t kEncapsulationLimit = 16;

enum class L2tpParse { kData, kControl, kMalformed, kVersion };

struct L2tpData {
  uint32_t ids;  // tunnel id << 16 | session id
  bool sequenced;
  uint16_t ns;
  const uint8_t* payload;
  uint32_t length;
};

/// Reads nothing beyond `length`. `data` is filled for kData.
inline L2tpParse parse_l2tp(const uint8_t* bytes, uint32_t length, L2tpData& data) noexcept {
  if (length < 2) return L2tpParse::kMalformed;
  const uint32_t flags = load16(bytes);
  if ((flags & 15) != kL2tpVersion) return L2tpParse::kVersion;
  if ((flags & kL2tpControl) != 0) return length < 12 ? L2tpParse::kMalformed : L2tpParse::kControl;
  uint32_t at = 2;
  if ((flags & kL2tpLength) != 0) {
    if (length < 4) return L2tpParse::kMalformed;
    const uint32_t said = load16(bytes + 2);
    // What follows the message is padding; a message that says to be longer than its datagram has been cut off.
    if (said > length) return L2tpParse::kMalformed;
    length = said;
    at = 4;
  }
  if (length < at + 4) return L2tpParse::kMalformed;
  data.ids = load32(bytes + at);
  at += 4;
  data.sequenced = (flags & kL2tpSequence) != 0;
  data.ns = 0;
  if (data.sequenced) {
    if (length < at + 4) return L2tpParse::kMalformed;
    data.ns = load16(bytes + at);  // Nr is reserved in data messages
    at += 4;
  }
  if ((flags & kL2tpOffset) != 0) {
    if (length < at + 2) return L2tpParse::kMalformed;
    at += 2 + uint32_t{load16(bytes + at)};
  }
  if (at >= length) return L2tpParse::kMalformed;
  data.payload = bytes + at;
  data.length = length - at;
  return L2tpParse::kData;
}

struct PppFrame {
  uint16_t protocol;
  const uint8_t* body;  // what follows the protocol
  uint32_t length;
  bool compressed;  // the protocol was one byte long
};

/// FF 03 and a one-byte protocol are accepted whether negotiated or not (RFC 1661 §6.5, §6.6). False: no PPP frame.
inline bool parse_ppp(const uint8_t* bytes, uint32_t length, PppFrame& frame) noexcept {
  if (length >= 2 && bytes[0] == 0xff && bytes[1] == 0x03) {
    bytes += 2;
    length -= 2;
  }
  if (length < 1) return false;
  if ((bytes[0] & 1) != 0) {
    frame = {bytes[0], bytes + 1, length - 1, true};
    return true;
  }
  if (length < 2 || (bytes[1] & 1) == 0) return false;
  frame = {load16(bytes), bytes + 2, length - 2, false};
  return true;
}

/// Network control, link control and everything else that carries no data (RFC 1661 §2).
inline bool is_ppp_control(uint16_t protocol) noexcept { return protocol >= 0x4000; }

/// How data messages of a session begin.
struct L2tpForm {
  uint32_t ids;  // the peer's
  bool length_bit, sequenced, compress_address;
  uint16_t ns;
};

/// Writes the header in front of a PPP frame of `length` bytes that begins with its protocol; returns where it begins.
/// There must be kEncapsulationLimit − 2 bytes of room before it.
inline uint8_t* put_l2tp(uint8_t* frame, uint32_t length, const L2tpForm& form) noexcept {
  uint8_t* at = frame;
  if (!form.compress_address) {
    *--at = 0x03;
    *--at = 0xff;
  }
  uint32_t flags = kL2tpVersion;
  if (form.sequenced) {
    flags |= kL2tpSequence;
    store16(at -= 2, 0);
    store16(at -= 2, form.ns);
  }
  store32(at -= 4, form.ids);
  if (form.length_bit) {
    flags |= kL2tpLength;
    at -= 4;
    store16(at + 2, length + static_cast<uint32_t>(frame - at));
  } else {
    at -= 2;
  }
  store16(at, flags);
  return at;
}

}  // namespace td
