#include "ip_answers.h"

#include <algorithm>
#include <cstring>

#include "checksum.h"

namespace td {
namespace {

constexpr uint32_t kIpv4Header = 20, kIpv6Header = 40, kTcpHeader = 20;
constexpr uint8_t kIcmp = 1, kTcp = 6, kIcmpv6 = 58;
constexpr uint32_t kQuoted4 = 548;  // the answer is 576 bytes at most (RFC 1812 §4.3.2.3)

uint32_t too_big_ipv4(const uint8_t* packet, uint32_t length, uint32_t mtu, uint8_t* answer) noexcept {
  const uint32_t header_length = (packet[0] & 15U) * 4;
  if ((load16(packet + 6) & 0x1fff) != 0) return 0;  // only the first fragment is answered
  if (packet[9] == kIcmp && length > header_length) {
    const uint8_t type = packet[header_length];
    if (type != 0 && type != 8 && type != 13 && type != 14) return 0;  // no errors about errors (RFC 1122 §3.2.2)
  }
  if (packet[12] >= 224 || load32(packet + 12) == 0) return 0;
  const uint32_t quoted = std::min(length, kQuoted4);
  std::memset(answer, 0, kIpv4Header + 8);
  answer[0] = 0x45;
  answer[1] = 0xc0;
  store16(answer + 2, kIpv4Header + 8 + quoted);
  answer[8] = 64;
  answer[9] = kIcmp;
  std::memcpy(answer + 12, packet + 16, 4);
  std::memcpy(answer + 16, packet + 12, 4);
  store16(answer + 10, static_cast<uint16_t>(~sum_bytes(answer, kIpv4Header)));
  uint8_t* icmp = answer + kIpv4Header;
  icmp[0] = 3;
  icmp[1] = 4;
  store16(icmp + 6, mtu);
  std::memcpy(icmp + 8, packet, quoted);
  store16(icmp + 2, static_cast<uint16_t>(~sum_bytes(icmp, 8 + quoted)));
  return kIpv4Header + 8 + quoted;
}

uint32_t too_big_ipv6(const uint8_t* packet, uint32_t length, uint32_t mtu, uint8_t* answer) noexcept {
  if (packet[6] == kIcmpv6 && length > kIpv6Header && packet[kIpv6Header] < 128) return 0;
  if (packet[8] == 0xff) return 0;
  const uint32_t quoted = std::min(length, kAnswerRoom - kIpv6Header - 8);
  std::memset(answer, 0, kIpv6Header + 8);
  answer[0] = 0x60;
  store16(answer + 4, 8 + quoted);
  answer[6] = kIcmpv6;
  answer[7] = 64;
  std::memcpy(answer + 8, packet + 24, 16);
  std::memcpy(answer + 24, packet + 8, 16);
  uint8_t* icmp = answer + kIpv6Header;
  icmp[0] = 2;
  store32(icmp + 4, mtu);
  std::memcpy(icmp + 8, packet, quoted);
  const uint64_t pseudo = sum_bytes(answer + 8, 32) + uint64_t{8} + quoted + kIcmpv6;
  store16(icmp + 2, static_cast<uint16_t>(~fold(pseudo + sum_bytes(icmp, 8 + quoted))));
  return kIpv6Header + 8 + quoted;
}

}  // namespace

uint32_t checked_ipv4(const uint8_t* packet, uint32_t length) noexcept {
  if (length < kIpv4Header || packet[0] >> 4 != 4) return 0;
  const uint32_t header_length = (packet[0] & 15U) * 4;
  const uint32_t total = load16(packet + 2);
  return header_length >= kIpv4Header && total >= header_length && total <= length ? total : 0;
}

uint32_t checked_ipv6(const uint8_t* packet, uint32_t length) noexcept {
  if (length < kIpv6Header || packet[0] >> 4 != 6) return 0;
  const uint32_t total = kIpv6Header + load16(packet + 4);
  return total <= length ? total : 0;
}

uint32_t make_too_big(const uint8_t* packet, uint32_t length, uint32_t mtu, uint8_t* answer) noexcept {
  return packet[0] >> 4 == 4 ? too_big_ipv4(packet, length, mtu, answer) : too_big_ipv6(packet, length, mtu, answer);
}

void clamp_mss(uint8_t* packet, uint32_t length, uint16_t mss) noexcept {
  uint32_t header_length = kIpv6Header;
  if (packet[0] >> 4 == 4) {
    header_length = (packet[0] & 15U) * 4;
    if (packet[9] != kTcp || (load16(packet + 6) & 0x1fff) != 0) return;
  } else if (packet[6] != kTcp) {
    return;
  }
  if (length < header_length + kTcpHeader) return;
  uint8_t* tcp = packet + header_length;
  const uint32_t tcp_length = (tcp[12] >> 4) * 4U;
  if ((tcp[13] & 0x02) == 0 || tcp_length < kTcpHeader || header_length + tcp_length > length) return;
  for (uint32_t at = kTcpHeader; at < tcp_length && tcp[at] != 0;) {
    if (tcp[at] == 1) {
      at++;
      continue;
    }
    if (at + 1 >= tcp_length || tcp[at + 1] < 2 || at + tcp[at + 1] > tcp_length) return;
    if (tcp[at] == 2 && tcp[at + 1] == 4) {
      const uint16_t before = load16(tcp + at + 2);
      if (before <= mss) return;
      store16(tcp + at + 2, mss);
      // At an odd place the two bytes stand in two words of the checksum, each on the other side.
      const bool odd = (at + 2) % 2 != 0;
      const auto turned = [odd](uint16_t v) { return static_cast<uint16_t>(odd ? v << 8 | v >> 8 : v); };
      ChecksumChange change;
      change.word(turned(before), turned(mss));
      store16(tcp + 16, change.apply(load16(tcp + 16)));
      return;
    }
    at += tcp[at + 1];
  }
}

}  // namespace td
