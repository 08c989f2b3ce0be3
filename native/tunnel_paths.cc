// What happens to one packet: from a tunnel, and into one.
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "ip_answers.h"
#include "tunnel_forwarder.h"

namespace td {
namespace {

constexpr uint16_t kLcp = 0xc021;
constexpr uint32_t kSeen = 0x10000;
constexpr uint32_t kPuntAll = TD_PUNT_RING_LENGTH - 4096;
constexpr uint32_t kEtherPppoe = 0x8864;

bool multicast_or_link_local(const uint8_t* address) noexcept {
  return address[0] == 0xff || (address[0] == 0xfe && (address[1] & 0xc0) == 0x80);
}

bool from_peer(const Call& call, uint32_t socket, const uint32_t* peer) noexcept {
  return std::memcmp(call.peer(), peer, 16) == 0 && call.peer_port() == (socket & 0xffff);
}

/// IPv4 or IPv6 behind a PPP protocol, also a compressed one.
bool is_data(uint16_t protocol) noexcept { return protocol == kPppIpv4 || protocol == kPppIpv6; }

}  // namespace

L2tpForm form_of(const Call& call, uint32_t* live, uint16_t protocol) noexcept {
  L2tpForm form{};
  form.ids = call.words[TD_CALL_PEER_IDS];
  form.length_bit = call.has(TD_CALL_FLAG_LENGTH_BIT);
  // LCP goes out as if nothing had been negotiated (RFC 1661 §6.6).
  form.compress_address = call.has(TD_CALL_FLAG_COMPRESS_ADDRESS) && protocol != kLcp;
  form.sequenced =
      call.has(TD_CALL_FLAG_SEND_SEQUENCE) ||
      (call.has(TD_CALL_FLAG_FOLLOW_SEQUENCE) && __atomic_load_n(live + TD_CALL_PEER_SEQUENCES, __ATOMIC_RELAXED) != 0);
  if (form.sequenced) form.ns = static_cast<uint16_t>(__atomic_fetch_add(live + TD_CALL_SEND_NS, 1U, __ATOMIC_RELAXED));
  return form;
}

// ── from a tunnel ───────────────────────────────────────────────────────────────────────────────────────────────────

void TunnelForwarder::datagram(const From& from, uint8_t* bytes, uint32_t length) {
  L2tpData data{};
  switch (parse_l2tp(bytes, length, data)) {
    case L2tpParse::kControl:
      punt({TD_PUNT_KIND_CONTROL, -1, from.socket, from.peer, nullptr, 0, bytes, length}, kPuntAll);
      return;
    case L2tpParse::kMalformed:
      drop(TD_STATISTIC_DROP_MALFORMED);
      return;
    case L2tpParse::kVersion:
      drop(TD_STATISTIC_DROP_VERSION);
      return;
    case L2tpParse::kData:
      break;
  }
  Call call;
  const int found = view_.find_tunnel(data.ids, call);
  if (found < 0) {
    drop(TD_STATISTIC_DROP_UNKNOWN_SESSION);
    return;
  }
  const auto slot = static_cast<uint32_t>(found);
  if (call.has(TD_CALL_FLAG_CHECK_PEER) && !from_peer(call, from.socket, from.peer)) {
    drop(TD_STATISTIC_DROP_WRONG_PEER, slot, TD_COUNT_OTHER);
    return;
  }
  if (call.state() == TD_CALL_STATE_CLOSED) {
    drop(TD_STATISTIC_DROP_CLOSED, slot, TD_COUNT_OTHER);
    return;
  }
  if (!in_sequence(call, slot, data)) return;
  PppFrame frame{};
  if (!parse_ppp(data.payload, data.length, frame)) {
    drop(TD_STATISTIC_DROP_MALFORMED_PACKET, slot, TD_COUNT_OTHER);
    return;
  }
  if (call.kind() == TD_CALL_KIND_LAC) {
    if (call.has(TD_CALL_FLAG_PUNT_TUNNEL) && is_ppp_control(frame.protocol)) {
      punt_ppp(TD_PUNT_KIND_PPP, slot, &from, frame);
    } else {
      to_access(slot, call, frame);
    }
    return;
  }
  if (call.kind() == TD_CALL_KIND_PUNT || !is_data(frame.protocol)) {
    if (is_data(frame.protocol)) {
      view_.counts(options_.worker, slot).packet(TD_COUNT_PACKETS_IN, frame.length, TD_COUNT_LAST_IN, seconds_);
    }
    punt_ppp(TD_PUNT_KIND_PPP, slot, &from, frame);
    return;
  }
  auto* packet = const_cast<uint8_t*>(frame.body);
  if (frame.protocol == kPppIpv4)
    ipv4_in(slot, call, packet, frame.length);
  else
    ipv6_in(slot, call, from, packet, frame.length);
}

/// Old and repeated messages are dropped, gaps are not waited for (RFC 2661 §5.4: a receiver may do so).
bool TunnelForwarder::in_sequence(const Call& call, uint32_t slot, const L2tpData& data) noexcept {
  uint32_t* live = view_.live(slot);
  if (!data.sequenced) {
    if (call.has(TD_CALL_FLAG_NEED_SEQUENCE)) {
      drop(TD_STATISTIC_DROP_SEQUENCE_MISSING, slot, TD_COUNT_SEQUENCE);
      return false;
    }
    if (live[TD_CALL_PEER_SEQUENCES] != 0) __atomic_store_n(live + TD_CALL_PEER_SEQUENCES, 0U, __ATOMIC_RELAXED);
    return true;
  }
  const uint32_t expected = __atomic_load_n(live + TD_CALL_RECEIVE_NS, __ATOMIC_RELAXED);
  if ((expected & kSeen) != 0 && ((data.ns - expected) & 0xffff) >= 0x8000) {
    drop(TD_STATISTIC_DROP_SEQUENCE, slot, TD_COUNT_SEQUENCE);
    return false;
  }
  __atomic_store_n(live + TD_CALL_RECEIVE_NS, ((data.ns + 1U) & 0xffff) | kSeen, __ATOMIC_RELAXED);
  if (live[TD_CALL_PEER_SEQUENCES] != 1) __atomic_store_n(live + TD_CALL_PEER_SEQUENCES, 1U, __ATOMIC_RELAXED);
  return true;
}

void TunnelForwarder::ipv4_in(uint32_t slot, const Call& call, uint8_t* packet, uint32_t length) {
  length = checked_ipv4(packet, length);
  if (length == 0) {
    drop(TD_STATISTIC_DROP_MALFORMED_PACKET, slot, TD_COUNT_OTHER);
    return;
  }
  if (!call.has(TD_CALL_FLAG_IPV4)) {
    drop(TD_STATISTIC_DROP_NETWORK_DOWN, slot, TD_COUNT_OTHER);
    return;
  }
  const uint32_t source = load32(packet + 12);
  if (source != call.words[TD_CALL_ADDRESS] && call.has(TD_CALL_FLAG_ANTI_SPOOF)) {
    Call other;
    const bool own = call.has(TD_CALL_FLAG_HAS_ROUTES) && view_.find_ipv4(source, other) == static_cast<int>(slot);
    if (!own) {
      drop(TD_STATISTIC_DROP_SPOOFED, slot, TD_COUNT_SPOOFED);
      return;
    }
  }
  if (call.mss() != 0) clamp_mss(packet, length, call.mss());
  to_tun(slot, packet, length);
}

void TunnelForwarder::ipv6_in(uint32_t slot, const Call& call, const From& from, uint8_t* packet, uint32_t length) {
  length = checked_ipv6(packet, length);
  if (length == 0) {
    drop(TD_STATISTIC_DROP_MALFORMED_PACKET, slot, TD_COUNT_OTHER);
    return;
  }
  if (!call.has(TD_CALL_FLAG_IPV6)) {
    drop(TD_STATISTIC_DROP_NETWORK_DOWN, slot, TD_COUNT_OTHER);
    return;
  }
  const uint8_t* source = packet + 8;
  // Solicitations and DHCPv6 are for the LNS itself; nothing of the kind is routed (RFC 4291 §2.5.6, §2.7).
  if (multicast_or_link_local(packet + 24) || multicast_or_link_local(source)) {
    punt({TD_PUNT_KIND_IPV6_LOCAL, static_cast<int>(slot), from.socket, from.peer, nullptr, 0, packet, length},
         kPuntAll / 2);
    return;
  }
  const bool own = load32(source) == call.words[TD_CALL_PREFIX] && load32(source + 4) == call.words[TD_CALL_PREFIX + 1];
  if (!own && call.has(TD_CALL_FLAG_ANTI_SPOOF)) {
    Call other;
    if (!call.has(TD_CALL_FLAG_HAS_ROUTES) || view_.find_ipv6(source, other) != static_cast<int>(slot)) {
      drop(TD_STATISTIC_DROP_SPOOFED, slot, TD_COUNT_SPOOFED);
      return;
    }
  }
  if (call.mss() != 0) clamp_mss(packet, length, static_cast<uint16_t>(call.mss() - 20));
  to_tun(slot, packet, length);
}

void TunnelForwarder::to_tun(uint32_t slot, const uint8_t* packet, uint32_t length) {
  if (options_.tun_fd < 0 || write(options_.tun_fd, packet, length) < 0) {
    if (errno == EBADFD) failed_ = true;
    drop(TD_STATISTIC_DROP_TUN_FULL, slot, TD_COUNT_OTHER);
    return;
  }
  statistics_[TD_STATISTIC_PACKETS_TO_TUN]++;
  view_.counts(options_.worker, slot).packet(TD_COUNT_PACKETS_IN, length, TD_COUNT_LAST_IN, seconds_);
}

void TunnelForwarder::to_access(uint32_t slot, const Call& call, const PppFrame& frame) {
  const uint32_t line = call.words[TD_CALL_ACCESS] >> 16;
  if (!call.has(TD_CALL_FLAG_ACCESS) || line >= options_.lines.size()) {
    drop(TD_STATISTIC_DROP_CLOSED, slot, TD_COUNT_OTHER);
    return;
  }
  uint8_t mac[8];
  store32(mac, call.words[TD_CALL_MAC_HIGH]);
  store32(mac + 4, call.words[TD_CALL_MAC_LOW]);
  if (access_outbox_.full()) flush_access();
  // A protocol number is never compressed on PPPoE (RFC 2516 §7), whatever the LNS may do.
  const uint32_t protocol_length = frame.compressed ? 1 : 2;
  access_outbox_.add(options_.lines[line], mac, static_cast<uint16_t>(call.words[TD_CALL_ACCESS]),
                     frame.body - protocol_length, frame.length + protocol_length, 2 - protocol_length);
  view_.counts(options_.worker, slot).packet(TD_COUNT_PACKETS_OUT, frame.length, TD_COUNT_LAST_OUT, seconds_);
}

// ── into a tunnel ───────────────────────────────────────────────────────────────────────────────────────────────────

void TunnelForwarder::tun_packet(uint8_t* packet, uint32_t length) {
  Call call;
  int found = -1;
  uint16_t protocol = kPppIpv4;
  uint32_t flag = TD_CALL_FLAG_IPV4;
  if (packet[0] >> 4 == 4 && length >= 20) {
    found = view_.find_ipv4(load32(packet + 16), call);
  } else if (packet[0] >> 4 == 6 && length >= 40) {
    if (multicast_or_link_local(packet + 24)) {
      drop(TD_STATISTIC_DROP_LINK_LOCAL);  // the host's own solicitations on its TUN device
      return;
    }
    protocol = kPppIpv6;
    flag = TD_CALL_FLAG_IPV6;
    found = view_.find_ipv6(packet + 24, call);
  }
  if (found < 0 || call.kind() == TD_CALL_KIND_LAC) {
    drop(TD_STATISTIC_DROP_NO_ROUTE);
    return;
  }
  const auto slot = static_cast<uint32_t>(found);
  if (!call.has(flag)) {
    drop(TD_STATISTIC_DROP_NETWORK_DOWN, slot, TD_COUNT_OTHER);
    return;
  }
  if (call.longest() != 0 && length > call.longest()) {
    too_big(slot, call, packet, length);
    return;
  }
  if (call.mss() != 0) {
    clamp_mss(packet, length, protocol == kPppIpv4 ? call.mss() : static_cast<uint16_t>(call.mss() - 20));
  }
  store16(packet - 2, protocol);
  to_tunnel(slot, call, packet - 2, length + 2, length);
}

void TunnelForwarder::too_big(uint32_t slot, const Call& call, uint8_t* packet, uint32_t length) {
  if (packet[0] >> 4 == 4 && checked_ipv4(packet, length) != 0 && may_fragment(packet)) {
    fragment_ipv4(packet, length, call.longest(),
                  [&](const uint8_t* head, uint32_t head_length, const uint8_t* data, uint32_t data_length) {
                    uint8_t scratch[kEncapsulationLimit + 2 + 65536];
                    uint8_t* frame = scratch + kEncapsulationLimit;
                    store16(frame, kPppIpv4);
                    std::memcpy(frame + 2, head, head_length);
                    std::memcpy(frame + 2 + head_length, data, data_length);
                    const uint32_t whole = head_length + data_length;
                    to_tunnel(slot, call, frame, whole + 2, whole);
                    flush();  // the scratch is one fragment's
                  });
    return;
  }
  drop(TD_STATISTIC_DROP_TOO_BIG, slot, TD_COUNT_TOO_BIG);
  uint8_t answer[kAnswerRoom];
  const uint32_t answer_length = make_too_big(packet, length, call.longest(), answer);
  // An answer that the device does not take is lost as any packet may be.
  if (answer_length != 0 && write(options_.tun_fd, answer, answer_length) < 0) drop(TD_STATISTIC_DROP_TUN_FULL);
}

void TunnelForwarder::access_frame(uint32_t line, uint8_t* frame, uint32_t length) {
  if (length < kEthernetLength + kPppoeLength + 2 || load16(frame + 12) != kEtherPppoe || frame[14] != 0x11 ||
      frame[15] != 0) {
    drop(TD_STATISTIC_DROP_MALFORMED);
    return;
  }
  const uint32_t ppp_length = load16(frame + 18);
  if (ppp_length < 2 || ppp_length > length - kEthernetLength - kPppoeLength) {
    drop(TD_STATISTIC_DROP_MALFORMED);
    return;
  }
  Call call;
  const int found = view_.find_access(line << 16 | load16(frame + 16), call);
  if (found < 0) {
    punt({TD_PUNT_KIND_UNKNOWN_ACCESS, -1, line << 16, nullptr, nullptr, 0, frame, length}, kPuntAll / 8);
    drop(TD_STATISTIC_DROP_UNKNOWN_SESSION);
    return;
  }
  const auto slot = static_cast<uint32_t>(found);
  if (load32(frame + 6) != call.words[TD_CALL_MAC_HIGH] || load16(frame + 10) != call.words[TD_CALL_MAC_LOW] >> 16) {
    drop(TD_STATISTIC_DROP_WRONG_MAC, slot, TD_COUNT_OTHER);
    return;
  }
  uint8_t* ppp = frame + kEthernetLength + kPppoeLength;
  PppFrame parsed{};
  if (!parse_ppp(ppp, ppp_length, parsed)) {
    drop(TD_STATISTIC_DROP_MALFORMED_PACKET, slot, TD_COUNT_OTHER);
    return;
  }
  if (call.has(TD_CALL_FLAG_PUNT_ACCESS) && is_ppp_control(parsed.protocol)) {
    punt_ppp(TD_PUNT_KIND_ACCESS_PPP, slot, nullptr, parsed);
    return;
  }
  if (!call.has(TD_CALL_FLAG_TUNNEL)) {
    drop(TD_STATISTIC_DROP_NO_TUNNEL, slot, TD_COUNT_OTHER);
    return;
  }
  auto* body = const_cast<uint8_t*>(parsed.body);
  store16(body - 2, parsed.protocol);  // spelt out: there are PPPoE's bytes before it
  to_tunnel(slot, call, body - 2, parsed.length + 2, parsed.length);
}

void TunnelForwarder::to_tunnel(uint32_t slot, const Call& call, uint8_t* frame, uint32_t length, uint32_t counted) {
  if (call.state() == TD_CALL_STATE_CLOSED || !call.has(TD_CALL_FLAG_TUNNEL)) {
    drop(TD_STATISTIC_DROP_CLOSED, slot, TD_COUNT_OTHER);
    return;
  }
  if (call.state() == TD_CALL_STATE_HOLD) {
    if (hold_.keep(slot, call.words[TD_CALL_EPOCH], frame, length, milliseconds_, limits())) {
      statistics_[TD_STATISTIC_HELD]++;
    } else {
      drop(TD_STATISTIC_DROP_HOLD_FULL, slot, TD_COUNT_HOLD);
    }
    return;
  }
  if (!hold_.empty()) {
    // What waits goes first.
    if (HoldBuffer::Queue* queue = hold_.find(slot); queue != nullptr) release(slot, *queue);
  }
  send(slot, call, frame, length, counted);
}

void TunnelForwarder::send(uint32_t slot, const Call& call, uint8_t* frame, uint32_t length, uint32_t counted) {
  const uint32_t socket = call.socket();
  const int fd = socket < TD_PLANE_SOCKET_LIMIT ? sockets_[socket] : -1;
  if (fd < 0) {
    drop(TD_STATISTIC_DROP_SEND_FAILED, slot, TD_COUNT_OTHER);
    return;
  }
  const uint16_t protocol = load16(frame);
  uint8_t* end = frame + length;
  if (protocol < 0x100 && call.has(TD_CALL_FLAG_COMPRESS_PROTOCOL)) frame++;
  const L2tpForm form = form_of(call, view_.live(slot), protocol);
  const auto ppp_length = static_cast<uint32_t>(end - frame);
  const uint8_t* start = put_l2tp(frame, ppp_length, form);
  if (outbox_.full()) flush();
  outbox_.add(fd, call.peer(), call.peer_port(), start, static_cast<uint32_t>(end - start));
  const CallCounts counts = view_.counts(options_.worker, slot);
  if (call.kind() == TD_CALL_KIND_LAC)
    counts.packet(TD_COUNT_PACKETS_IN, counted, TD_COUNT_LAST_IN, seconds_);
  else
    counts.packet(TD_COUNT_PACKETS_OUT, counted, TD_COUNT_LAST_OUT, seconds_);
}

}  // namespace td
