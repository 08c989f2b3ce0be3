#include "tunnel_forwarder.h"

#include <netinet/udp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "packet_ring.h"

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

namespace td {
namespace {

constexpr uint32_t kDatagrams = 32;
/// The longest that a datagram, or several in one (UDP_GRO), can be; not a multiple of a page, for the cache's sake.
constexpr uint32_t kDatagramRoom = 65536 + 192;
constexpr uint32_t kTunPackets = 128;
constexpr uint32_t kPacketRoom = 9280;  // TUN's MTU is at most 9216
constexpr uint32_t kHeadroom = 64;
constexpr uint32_t kFrames = 64;
constexpr uint32_t kFrameRoom = 2112;
constexpr uint32_t kOutbox = 256;
constexpr uint64_t kTurnMilliseconds = 20;
constexpr uint64_t kHeldMilliseconds = 5;
constexpr uint32_t kPuntLimit = TD_PUNT_RING_LENGTH - 4096;

}  // namespace

TunnelForwarder::TunnelForwarder(const PlaneView& view, TunnelForwarderOptions options)
    : view_(view),
      options_(std::move(options)),
      ring_(view.ring(options_.worker)),
      outbox_(kOutbox, true),
      access_outbox_(kOutbox),
      statistics_(view.statistics(options_.worker)),
      udp_buffers_(std::size_t{kDatagrams} * kDatagramRoom + kHeadroom),
      tun_buffers_(options_.tun_fd < 0 ? 0 : std::size_t{kTunPackets} * kPacketRoom),
      access_buffers_(options_.lines.empty() ? 0 : std::size_t{kFrames} * kFrameRoom),
      messages_(kDatagrams),
      frame_messages_(options_.lines.empty() ? 0 : kFrames),
      vectors_(kDatagrams),
      frame_vectors_(frame_messages_.size()),
      peers_(kDatagrams),
      controls_(kDatagrams) {
  for (int& fd : sockets_) fd = -1;
  for (uint32_t i = 0; i < kDatagrams; i++) {
    vectors_[i] = {udp_buffers_.data() + kHeadroom + std::size_t{i} * kDatagramRoom, kDatagramRoom - kHeadroom};
    msghdr& message = messages_[i].msg_hdr;
    message = {};
    message.msg_name = &peers_[i].any;
    message.msg_iov = &vectors_[i];
    message.msg_iovlen = 1;
    message.msg_control = controls_[i].data();
    prepare_datagram(i);
  }
  for (uint32_t i = 0; i < frame_messages_.size(); i++) {
    frame_vectors_[i] = {access_buffers_.data() + std::size_t{i} * kFrameRoom + kHeadroom, kFrameRoom - kHeadroom};
    frame_messages_[i].msg_hdr = {};
    frame_messages_[i].msg_hdr.msg_iov = &frame_vectors_[i];
    frame_messages_[i].msg_hdr.msg_iovlen = 1;
  }
}

/// What the kernel overwrites with each datagram.
void TunnelForwarder::prepare_datagram(uint32_t i) noexcept {
  msghdr& message = messages_[i].msg_hdr;
  message.msg_namelen = sizeof peers_[i].v6;
  message.msg_controllen = sizeof controls_[i];
  message.msg_flags = 0;
}

void TunnelForwarder::read_clock() noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  seconds_ = static_cast<uint32_t>(now.tv_sec);
  milliseconds_ = static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

void TunnelForwarder::refresh_sockets() {
  const uint32_t generation = view_.header(TD_PLANE_SOCKET_GENERATION);
  if (sockets_known_ && generation == socket_generation_) return;
  sockets_known_ = true;
  socket_generation_ = generation;
  polls_.clear();
  sources_.clear();
  for (uint32_t i = 0; i < TD_PLANE_SOCKET_LIMIT; i++) {
    const uint32_t* socket = view_.socket(i);
    const bool is_open = __atomic_load_n(socket + TD_SOCKET_OPEN, __ATOMIC_ACQUIRE) == 1;
    sockets_[i] = is_open ? static_cast<int>(socket[TD_SOCKET_DESCRIPTORS + options_.worker]) : -1;
    watch(sockets_[i], {Kind::kSocket, i, false});
  }
  watch(options_.tun_fd, {Kind::kTun, 0, false});
  for (uint32_t i = 0; i < options_.lines.size(); i++) {
    watch(options_.lines[i].session_fd, {Kind::kSession, i, false});
    watch(options_.lines[i].discovery_fd, {Kind::kDiscovery, i, false});
  }
  watch(options_.wake_fd, {Kind::kWake, 0, false});
}

void TunnelForwarder::watch(int fd, Source source) {
  if (fd < 0) return;
  polls_.push_back({fd, POLLIN, 0});
  sources_.push_back(source);
}

HoldLimits TunnelForwarder::limits() const noexcept {
  return {view_.header(TD_PLANE_HOLD_BYTES_PER_SESSION), view_.header(TD_PLANE_HOLD_BYTES),
          view_.header(TD_PLANE_HOLD_MILLISECONDS)};
}

uint32_t TunnelForwarder::turn(uint32_t wait_ms) {
  read_clock();
  const uint64_t until = milliseconds_ + kTurnMilliseconds;
  uint32_t total = 0;
  for (;;) {
    refresh_sockets();
    // Only what is ready is read: at moderate rates a look at an empty socket would cost as much as a packet.
    // A turn that has begun goes on until its time is over: to go back in between would cost as much as a packet, too.
    const uint64_t left = milliseconds_ < until ? until - milliseconds_ : 0;
    uint32_t wait = total == 0 ? wait_ms : std::min(wait_ms, static_cast<uint32_t>(left));
    if (!hold_.empty()) wait = std::min<uint32_t>(wait, kHeldMilliseconds);
    const uint32_t ready = look(wait);
    read_clock();
    const uint32_t taken = ready == 0 ? 0 : read_ready();
    flush_held();
    if (punted_) {
      const uint64_t one = 1;
      // A full counter means that the reader has not looked yet.
      if (write(options_.punt_fd, &one, sizeof one) < 0 && errno != EAGAIN) failed_ = true;
      punted_ = false;
    }
    total += taken;
    if (failed_ || wait_ms == 0 || milliseconds_ >= until || (ready == 0 && total == 0)) break;
  }
  statistics_[TD_STATISTIC_TURNS]++;
  if (failed_) throw SystemError{"the TUN device or an access line has gone", ENODEV};
  return total;
}

uint32_t TunnelForwarder::look(uint32_t wait_ms) noexcept {
  uint32_t known = 0;
  for (const Source& source : sources_) known += source.ready ? 1 : 0;
  // A full batch says that there is more; the others are looked after all the same.
  if (poll(polls_.data(), polls_.size(), known > 0 ? 0 : static_cast<int>(wait_ms)) < 0) return known;
  uint32_t ready = 0;
  for (std::size_t i = 0; i < sources_.size(); i++) {
    Source& source = sources_[i];
    const short events = polls_[i].revents;
    if (events != 0) source.ready = true;
    // A socket's error is taken by its next receive; a TUN device that was removed says so for ever.
    if ((events & (POLLERR | POLLHUP | POLLNVAL)) != 0 && source.kind == Kind::kTun) failed_ = true;
    ready += source.ready ? 1 : 0;
  }
  return ready;
}

uint32_t TunnelForwarder::read_ready() {
  uint32_t taken = 0;
  for (std::size_t i = 0; i < sources_.size(); i++) {
    Source& source = sources_[i];
    if (!source.ready) continue;
    switch (source.kind) {
      case Kind::kSocket:
        taken += read_socket(source.index, source.ready);
        break;
      case Kind::kTun:
        taken += read_tun(source.ready);
        break;
      case Kind::kSession:
      case Kind::kDiscovery:
        taken += read_access(source.index, polls_[i].fd, source.ready);
        break;
      case Kind::kWake: {
        uint64_t count = 0;
        if (read(polls_[i].fd, &count, sizeof count) < 0) count = 0;  // somebody else has read it
        source.ready = false;
        break;
      }
    }
  }
  return taken;
}

uint32_t TunnelForwarder::read_socket(uint32_t index, bool& more) {
  uint32_t taken = 0;
  const int count = recvmmsg(sockets_[index], messages_.data(), kDatagrams, MSG_DONTWAIT, nullptr);
  statistics_[TD_STATISTIC_RECEIVE_CALLS]++;
  more = count == static_cast<int>(kDatagrams);
  if (count < 0) {
    if (errno != EAGAIN && errno != EINTR) drop(TD_STATISTIC_DROP_RECEIVE_ERROR);
    return 0;
  }
  for (uint32_t i = 0; i < static_cast<uint32_t>(count); i++) {
    msghdr& message = messages_[i].msg_hdr;
    From from{};
    from.socket = index << 16 | peers_[i].words(from.peer);
    if ((message.msg_flags & MSG_TRUNC) != 0) {
      drop(TD_STATISTIC_DROP_TRUNCATED);
      prepare_datagram(i);
      continue;
    }
    const uint32_t length = messages_[i].msg_len;
    uint32_t segment = length;
    for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr; control = CMSG_NXTHDR(&message, control)) {
      if (control->cmsg_level != SOL_UDP || control->cmsg_type != UDP_GRO) continue;
      int size = 0;
      std::memcpy(&size, CMSG_DATA(control), sizeof size);
      if (size > 0) segment = static_cast<uint32_t>(size);
    }
    prepare_datagram(i);
    auto* bytes = static_cast<uint8_t*>(vectors_[i].iov_base);
    uint32_t at = 0;
    do {
      const uint32_t part = std::min(segment, length - at);
      datagram(from, bytes + at, part);
      at += part;
      taken++;
    } while (at < length);
  }
  flush_access();
  statistics_[TD_STATISTIC_DATAGRAMS_IN] += taken;
  return taken;
}

uint32_t TunnelForwarder::read_tun(bool& more) {
  uint32_t taken = 0;
  for (; taken < kTunPackets; taken++) {
    uint8_t* packet = tun_buffers_.data() + std::size_t{taken} * kPacketRoom + kHeadroom;
    const ssize_t length = read(options_.tun_fd, packet, kPacketRoom - kHeadroom);
    if (length <= 0) {
      if (length < 0 && errno == EBADFD) failed_ = true;  // the device was deleted
      break;
    }
    tun_packet(packet, static_cast<uint32_t>(length));
  }
  more = taken == kTunPackets;
  statistics_[TD_STATISTIC_PACKETS_FROM_TUN] += taken;
  if (taken > 0) flush();
  return taken;
}

uint32_t TunnelForwarder::read_access(uint32_t index, int fd, bool& more) {
  const int count = recvmmsg(fd, frame_messages_.data(), kFrames, MSG_DONTWAIT, nullptr);
  statistics_[TD_STATISTIC_RECEIVE_CALLS]++;
  more = count == static_cast<int>(kFrames);
  if (count < 0) {
    if (errno == ENODEV || errno == ENXIO)
      failed_ = true;
    else if (errno != EAGAIN && errno != EINTR)
      drop(TD_STATISTIC_DROP_RECEIVE_ERROR);
    return 0;
  }
  const auto taken = static_cast<uint32_t>(count);
  for (uint32_t i = 0; i < taken; i++) {
    auto* frame = static_cast<uint8_t*>(frame_vectors_[i].iov_base);
    const uint32_t length = frame_messages_[i].msg_len;
    if (fd == options_.lines[index].session_fd) {
      access_frame(index, frame, length);
    } else {
      // A flood of discoveries must not take the room of other messages.
      punt({TD_PUNT_KIND_DISCOVERY, -1, index << 16, nullptr, nullptr, 0, frame, length}, kPuntLimit / 4);
    }
  }
  flush();
  statistics_[TD_STATISTIC_FRAMES_FROM_ACCESS] += taken;
  return taken;
}

void TunnelForwarder::flush() noexcept {
  if (outbox_.empty()) return;
  const UdpOutbox::Result result = outbox_.flush();
  statistics_[TD_STATISTIC_DATAGRAMS_OUT] += result.sent;
  statistics_[TD_STATISTIC_DROP_SEND_FAILED] += result.failed;
  statistics_[TD_STATISTIC_SEND_CALLS] += result.calls;
}

void TunnelForwarder::flush_access() noexcept {
  const AccessOutbox::Result result = access_outbox_.flush();
  statistics_[TD_STATISTIC_FRAMES_TO_ACCESS] += result.sent;
  statistics_[TD_STATISTIC_DROP_SEND_FAILED] += result.failed;
}

void TunnelForwarder::flush_held() {
  if (hold_.empty()) return;
  const uint32_t generation = view_.header(TD_PLANE_HOLD_GENERATION);
  if (generation == hold_generation_ && milliseconds_ - held_looked_ < kHeldMilliseconds) return;
  hold_generation_ = generation;
  held_looked_ = milliseconds_;
  hold_.each([&](uint32_t slot, HoldBuffer::Queue& queue) { release(slot, queue); });
}

/// Sends what waits when the session may send again; drops what has waited too long or whose session has gone.
void TunnelForwarder::release(uint32_t slot, HoldBuffer::Queue& queue) {
  Call call;
  const bool there = view_.read(slot, call) && call.words[TD_CALL_EPOCH] == queue.epoch;
  if (!there || call.state() == TD_CALL_STATE_CLOSED) {
    while (!queue.packets.empty()) {
      hold_.pop(queue);
      if (there)
        drop(TD_STATISTIC_DROP_HOLD_EXPIRED, slot, TD_COUNT_HOLD);
      else
        drop(TD_STATISTIC_DROP_HOLD_EXPIRED);
    }
    return;
  }
  for (uint64_t i = hold_.expire(queue, milliseconds_, limits()); i > 0; i--) {
    drop(TD_STATISTIC_DROP_HOLD_EXPIRED, slot, TD_COUNT_HOLD);
  }
  if (call.state() != TD_CALL_STATE_FORWARD || !call.has(TD_CALL_FLAG_TUNNEL)) return;
  uint8_t scratch[kPacketRoom + kEncapsulationLimit];
  while (!queue.packets.empty()) {
    const HoldBuffer::Packet& packet = queue.packets.front();
    uint8_t* frame = scratch + kEncapsulationLimit;
    std::memcpy(frame, packet.bytes.get(), packet.length);
    send(slot, call, frame, packet.length, packet.length);
    flush();  // the scratch is one packet's
    statistics_[TD_STATISTIC_FLUSHED]++;
    hold_.pop(queue);
  }
}

void TunnelForwarder::punt(const PuntRecord& record, uint32_t limit) noexcept {
  if (ring_.push(record, limit)) {
    punted_ = true;
    statistics_[TD_STATISTIC_PUNTED]++;
  } else {
    drop(TD_STATISTIC_DROP_PUNT_FULL);
  }
}

/// As its protocol in two bytes and what follows.
void TunnelForwarder::punt_ppp(uint32_t kind, uint32_t slot, const From* from, const PppFrame& frame) noexcept {
  uint8_t protocol[2];
  store16(protocol, frame.protocol);
  punt({kind, static_cast<int>(slot), from == nullptr ? 0 : from->socket, from == nullptr ? nullptr : from->peer,
        protocol, 2, frame.body, frame.length},
       kPuntLimit / 4 * 3);
}

}  // namespace td
