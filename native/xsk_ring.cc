#include "xsk_ring.h"

#include <linux/if_ether.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "checksum.h"

namespace td {
namespace {

constexpr std::size_t kTagLength = 4;
constexpr std::size_t kAddressesLength = 12;
constexpr std::size_t kMinimum = 14;
constexpr timespec kSendWait{0, 50'000};
constexpr uint32_t kSendWaits = 20;  // for a device and a turn
constexpr uint32_t kBurst = 256;
constexpr double kCheckSeconds = 1;

double monotonic() noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

}  // namespace

int take_tag(uint8_t* memory, int32_t* offset, int32_t* length) noexcept {
  uint8_t* frame = memory + *offset;
  if (*length < static_cast<int32_t>(kMinimum)) return 0;
  const uint16_t type = load16(frame + kAddressesLength);
  if (type == ETH_P_8021AD) return -1;
  if (type != ETH_P_8021Q || *length < static_cast<int32_t>(kMinimum + kTagLength)) return 0;
  const int vlan = load16(frame + kAddressesLength + 2) & 0x0fff;
  std::memmove(frame + kTagLength, frame, kAddressesLength);
  *offset += static_cast<int32_t>(kTagLength);
  *length -= static_cast<int32_t>(kTagLength);
  return vlan;
}

void put_tag(uint8_t* memory, std::size_t* offset, std::size_t* length, uint16_t vlan) noexcept {
  *offset -= kTagLength;
  *length += kTagLength;
  uint8_t* frame = memory + *offset;
  std::memmove(frame, frame + kTagLength, kAddressesLength);
  store16(frame + kAddressesLength, ETH_P_8021Q);
  store16(frame + kAddressesLength + 2, vlan);
}

XskRing::XskRing(std::shared_ptr<XskSet> set, const XskRingOptions& options)
    : set_(std::move(set)),
      memory_(set_->map()),
      scratch_offset_(set_->scratch_offset(options.shard)),
      shard_(options.shard),
      chunk_(set_->chunk_length()),
      spin_micros_(options.spin_micros),
      owner_(static_cast<uint8_t>(FramePool::kFirstShard + options.shard)),
      wake_fd_(options.wake_fd),
      ports_(options.ports),
      queued_(set_->devices().size()),
      failed_(set_->devices().size()),
      lost_by_socket_(set_->lanes().size()) {
  held_.reserve(TD_BATCH_CAPACITY);
  released_.reserve(TD_COLUMN_LENGTH);
}

void XskRing::bind(const TableView& table, const Columns& columns, const Counters& counters, double* clock) noexcept {
  table_ = table;
  columns_ = columns;
  counters_ = counters;
  clock_ = clock;
  // What a shard before us lost is in the counters already: the first look only remembers.
  pull_statistics();
  clock_[0] = checked_at_ = monotonic();
}

void XskRing::rewrite(uint32_t received, uint32_t scratch) noexcept {
  const auto ports = static_cast<uint32_t>(ports_.size());
  const RewriteContext context{table_, ports_.data(), ports, static_cast<uint32_t>(monotonic())};
  rewrite_batch(context, memory_->bytes(), columns_, counters_, 0, received);
  rewrite_batch(context, memory_->bytes(), columns_, counters_, TD_BATCH_CAPACITY, scratch);
}

XskSet::Lane& XskRing::way_out(uint32_t device) noexcept {
  return set_->lane(device, shard_ % set_->devices()[device].queues);
}

/// One system call for what is in a transmit ring. What the kernel does not take stays in the ring for the next one.
void XskRing::kick(uint32_t device) noexcept {
  if (queued_[device] == 0) return;
  const XskSet::Socket& socket = way_out(device).sockets[shard_];
  for (uint32_t waits = 0; socket.transmit.wants_wakeup();) {
    if (sendto(socket.fd.get(), nullptr, 0, MSG_DONTWAIT, nullptr, 0) >= 0) break;
    const int error = errno;
    if (error == ENXIO || error == ENODEV) failed_[device] = 1;
    if (error != EAGAIN && error != EBUSY && error != ENOBUFS && error != EINTR) break;
    // The completion ring may be full, and its owner may be us.
    settle();
    if (++waits > kSendWaits) break;
    if (error != EINTR) nanosleep(&kSendWait, nullptr);
  }
  queued_[device] = 0;
}

/// False when there is no room even after a system call.
bool XskRing::enqueue(uint32_t device, uint32_t frame, std::size_t offset, std::size_t length) noexcept {
  XskQueue& ring = way_out(device).sockets[shard_].transmit;
  if (ring.room() == 0) {
    kick(device);
    if (ring.room() == 0) return false;
  }
  xdp_desc& descriptor = ring.to_give<xdp_desc>(0);
  descriptor.addr = offset;
  descriptor.len = static_cast<uint32_t>(length);
  descriptor.options = 0;
  set_->pool().own(frame, FramePool::kTransmit);
  ring.given(1);
  if (++queued_[device] >= kBurst) kick(device);
  return true;
}

void XskRing::send_one(uint32_t i, bool scratch) noexcept {
  uint8_t* base = memory_->bytes().data();
  const uint8_t port = columns_.egress[i];
  auto offset = static_cast<std::size_t>(static_cast<uint32_t>(columns_.offset[i]));
  auto length = static_cast<std::size_t>(static_cast<uint32_t>(columns_.length[i]));
  const bool tagged = port < ports_.size() && ports_[port].vlan != 0;
  const std::size_t limit = scratch ? TD_SCRATCH_SLOT_LENGTH : chunk_;
  bool sent = false;
  uint32_t frame = scratch ? 0 : held_[i];
  // Scratch memory is written again in the next turn, when the kernel may not have read it yet.
  const bool fits = port < ports_.size() && columns_.offset[i] >= 0 && length >= kMinimum && length <= limit &&
                    offset + length <= memory_->bytes().size();
  if (fits && scratch && set_->pool().take(&frame, 1, owner_) == 1) {
    const std::size_t copy = static_cast<std::size_t>(frame) * chunk_ + kTagLength;
    if (length + 2 * kTagLength <= chunk_) {
      std::memcpy(base + copy, base + offset, length);
      offset = copy;
    } else {
      length = 0;
    }
  } else if (scratch) {
    counters_.statistics[counters_.send_failed] += 1;
    return;
  }
  if (fits && length > 0 && (scratch || frame_at(offset) == frame) &&
      offset + length <= (static_cast<std::size_t>(frame) + 1) * chunk_) {
    if (tagged && offset - static_cast<std::size_t>(frame) * chunk_ >= kTagLength) {
      put_tag(base, &offset, &length, ports_[port].vlan);
    }
    sent = enqueue(ports_[port].device, frame, offset, length);
  }
  if (sent) {
    counters_.statistics[counters_.frames_sent] += 1;
    counters_.statistics[counters_.bytes_sent] += static_cast<double>(length);
  } else {
    counters_.statistics[counters_.send_failed] += 1;
    released_.push_back(frame);
  }
}

void XskRing::send(uint32_t received, uint32_t scratch) noexcept {
  for (uint32_t i = 0; i < received && i < held_.size(); i++) {
    if (columns_.verdict[i] == TD_VERDICT_RAW) {
      send_one(i, false);
    } else {
      released_.push_back(held_[i]);
    }
  }
  for (std::size_t i = received; i < held_.size(); i++) released_.push_back(held_[i]);
  held_.clear();
  for (uint32_t i = TD_BATCH_CAPACITY; i < TD_BATCH_CAPACITY + scratch; i++) {
    if (columns_.verdict[i] == TD_VERDICT_RAW) send_one(i, true);
  }
  if (!released_.empty()) set_->pool().give(released_.data(), static_cast<uint32_t>(released_.size()));
  released_.clear();
  for (uint32_t device = 0; device < queued_.size(); device++) kick(device);
}

/// Frames that the kernel has sent come back.
void XskRing::drain(XskSet::Lane& lane) noexcept {
  uint32_t frames[kBurst];
  for (;;) {
    const uint32_t count = std::min(lane.completion.filled(), kBurst);
    if (count == 0) return;
    for (uint32_t i = 0; i < count; i++) frames[i] = frame_at(lane.completion.to_take<uint64_t>(i));
    lane.completion.taken(count);
    set_->pool().give(frames, count);
  }
}

void XskRing::refill(XskSet::Lane& lane) noexcept {
  uint32_t frames[kBurst];
  // A ring that is nearly full need not be looked after with every batch.
  for (uint32_t room = lane.fill.room(); room >= kBurst / 4; room = lane.fill.room()) {
    const uint32_t count = set_->pool().take(frames, std::min(room, kBurst), FramePool::kFill);
    if (count == 0) break;
    for (uint32_t i = 0; i < count; i++) lane.fill.to_give<uint64_t>(i) = static_cast<uint64_t>(frames[i]) * chunk_;
    lane.fill.given(count);
  }
  if (lane.fill.wants_wakeup()) recvfrom(lane.sockets[0].fd.get(), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
}

void XskRing::settle() noexcept {
  for (XskSet::Lane& lane : set_->lanes()) {
    if (lane.owner != shard_) continue;
    drain(lane);
    refill(lane);
  }
}

void XskRing::note_frame(XskSet::Lane& lane, uint32_t i, const xdp_desc& descriptor) noexcept {
  uint8_t* base = memory_->bytes().data();
  const uint32_t frame = frame_at(descriptor.addr);
  set_->pool().own(frame, owner_);
  held_.push_back(frame);
  columns_.offset[i] = static_cast<int32_t>(descriptor.addr);
  columns_.length[i] = static_cast<int32_t>(descriptor.len);
  columns_.egress[i] = TD_PORT_NONE;
  columns_.flags[i] = 0;
  columns_.verdict[i] = TD_VERDICT_DROP;
  const int vlan = take_tag(base, &columns_.offset[i], &columns_.length[i]);
  columns_.ingress[i] = TD_PORT_NONE;
  for (std::size_t p = 0; p < ports_.size(); p++) {
    if (ports_[p].device != lane.device || ports_[p].vlan != vlan) continue;
    columns_.ingress[i] = static_cast<uint8_t>(p);
    break;
  }
}

uint32_t XskRing::receive_from(XskSet::Lane& lane, uint32_t from, uint32_t room) noexcept {
  XskQueue& ring = lane.sockets[shard_].receive;
  const uint32_t count = std::min(ring.filled(), room);
  for (uint32_t n = 0; n < count; n++) note_frame(lane, from + n, ring.to_take<xdp_desc>(n));
  if (count > 0) ring.taken(count);
  return count;
}

uint32_t XskRing::receive() noexcept {
  std::vector<XskSet::Lane>& lanes = set_->lanes();
  const auto count = static_cast<uint32_t>(lanes.size());
  uint32_t taken = 0;
  // No queue may starve another: each gets its share first, then whoever has more fills the rest.
  const uint32_t share = std::max(1U, uint32_t{TD_BATCH_CAPACITY} / count);
  for (const uint32_t room : {share, uint32_t{TD_BATCH_CAPACITY}}) {
    for (uint32_t n = 0; n < count && taken < TD_BATCH_CAPACITY; n++) {
      taken += receive_from(lanes[(first_lane_ + n) % count], taken, std::min(room, TD_BATCH_CAPACITY - taken));
    }
    if (count == 1) break;
  }
  first_lane_ = (first_lane_ + 1) % count;
  return taken;
}

void XskRing::wait(uint32_t wait_ms) noexcept {
  std::vector<XskSet::Lane>& lanes = set_->lanes();
  std::vector<pollfd> fds(lanes.size() + 1);
  for (std::size_t i = 0; i < lanes.size(); i++) fds[i] = {lanes[i].sockets[shard_].fd.get(), POLLIN, 0};
  fds[lanes.size()] = {wake_fd_, POLLIN, 0};  // poll takes no notice of -1
  if (poll(fds.data(), fds.size(), static_cast<int>(wait_ms)) <= 0) return;
  if ((fds[lanes.size()].revents & POLLIN) != 0) {
    uint64_t drained = 0;
    [[maybe_unused]] const ssize_t got = ::read(wake_fd_, &drained, sizeof drained);
  }
  for (std::size_t i = 0; i < lanes.size(); i++) {
    if ((fds[i].revents & (POLLERR | POLLNVAL | POLLHUP)) != 0) failed_[lanes[i].device] = 1;
  }
}

void XskRing::check_devices() {
  const bool due = clock_[0] - checked_at_ >= kCheckSeconds;
  if (due) {
    checked_at_ = clock_[0];
    pull_statistics();
  }
  for (std::size_t d = 0; d < failed_.size(); d++) {
    if (!due && failed_[d] == 0) continue;
    failed_[d] = 0;
    const XskSet::Device& device = set_->devices()[d];
    char name[IF_NAMESIZE];
    if (if_indextoname(device.interface, name) == nullptr && (errno == ENXIO || errno == ENODEV)) {
      throw SystemError{"interface " + device.name + " has gone", ENODEV};
    }
  }
}

uint32_t XskRing::turn(uint32_t received, uint32_t scratch, uint32_t wait_ms) {
  if (closed()) throw SystemError{"the AF_XDP ring is closed", EBADF};
  rewrite(received, scratch);
  send(received, scratch);
  settle();
  uint32_t taken = receive();
  if (taken == 0 && wait_ms > 0) {
    // A sleep and a wake-up cost several microseconds; under load the next frames are nearer than that.
    const double until = monotonic() + spin_micros_ * 1e-6;
    while (taken == 0 && monotonic() < until) taken = receive();
    if (taken == 0) {
      wait(wait_ms);
      taken = receive();
    }
  }
  clock_[0] = monotonic();
  seen_ += taken;
  counters_.statistics[counters_.frames_received] += taken;
  check_devices();
  return taken;
}

void XskRing::pull_statistics() noexcept {
  std::vector<XskSet::Lane>& lanes = set_->lanes();
  for (std::size_t i = 0; i < lanes.size(); i++) {
    xdp_statistics statistics{};
    socklen_t length = sizeof statistics;
    const int fd = lanes[i].sockets[shard_].fd.get();
    if (getsockopt(fd, SOL_XDP, XDP_STATISTICS, &statistics, &length) != 0) continue;
    // Totals since the socket was made: no frame to fill, and no room for its descriptor.
    const uint64_t lost = statistics.rx_dropped + statistics.rx_ring_full;
    const uint64_t more = lost - lost_by_socket_[i];
    lost_by_socket_[i] = lost;
    if (checked_at_ == 0 || more == 0) continue;
    lost_ += more;
    counters_.statistics[counters_.receive_ring] += static_cast<double>(more);
  }
}

void XskRing::close() noexcept {
  if (closed()) return;
  if (!held_.empty()) set_->pool().give(held_.data(), static_cast<uint32_t>(held_.size()));
  held_.clear();
  memory_->detach();
  set_.reset();
}

}  // namespace td
