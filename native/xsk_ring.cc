#include "xsk_ring.h"

#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "vlan_tag.h"

namespace td {
namespace {

constexpr double kCheckSeconds = 1;
constexpr std::size_t kSpareMin = 16;
constexpr std::size_t kSpareMax = 512;
/// A fill ring that is fuller than this needs nothing: frames are given in batches, not one by one.
constexpr uint32_t kRefillBatch = 32;
/// So many frames that have been sent and that nobody has taken back.
constexpr uint32_t kNeglected = 128;

double monotonic() noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

}  // namespace

XskRing::XskRing(std::shared_ptr<XskSet> set, const XskRingOptions& options)
    : set_(std::move(set)),
      memory_(set_->memory()),
      shard_(options.shard),
      spin_micros_(options.spin_micros),
      wake_fd_(options.wake_fd),
      shift_(set_->chunk_shift()),
      ports_(options.ports) {
  ports_.resize(TD_PORT_HOST, kHostPort);
  ports_.push_back(kHostPort);
  attached_ = set_->attach(shard_);
  scratch_offset_ = set_->scratch_offset(shard_);
  const std::size_t frames = set_->pool().frames();
  spare_.reserve(frames);
  spare_limit_ = std::clamp(frames / (std::size_t{16} * set_->shards()), kSpareMin, kSpareMax);
  for (XskDevice& device : set_->devices()) {
    Side& side = sides_.emplace_back();
    side.device = &device;
    const uint32_t queue = shard_ % device.sending_queues;
    side.sender = &socket_of(side, queue);
    side.send_queue = &device.queue[queue];
    side.sent = sent_by(static_cast<uint32_t>(sides_.size() - 1), shard_);
    side.accounted = side.sender->send.consumed();
    side.frame_limit = device.frame_limit();
    for (uint32_t q = 0; q < device.queues; q++) polled_.push_back({socket_of(side, q).fd.get(), POLLIN, 0});
  }
  polled_.push_back({wake_fd_, POLLIN, 0});  // poll takes no notice of −1
}

void XskRing::bind(const TableView& table, const Columns& columns, const Counters& counters, double* clock) noexcept {
  table_ = table;
  columns_ = columns;
  counters_ = counters;
  clock_ = clock;
  clock_[0] = checked_at_ = monotonic();
}

void XskRing::rewrite(uint32_t received, uint32_t scratch) noexcept {
  const auto ports = static_cast<uint32_t>(ports_.size());
  const RewriteContext context{table_, ports_.data(), ports, static_cast<uint32_t>(monotonic())};
  rewrite_batch(context, memory_->bytes(), columns_, counters_, 0, received);
  rewrite_batch(context, memory_->bytes(), columns_, counters_, TD_BATCH_CAPACITY, scratch);
}

bool XskRing::take_frame(uint32_t& frame) noexcept {
  if (spare_.empty()) {
    std::array<uint32_t, kRefillBatch> some;
    const uint32_t taken = set_->pool().take(some, spare_of(shard_));
    spare_.insert(spare_.end(), some.begin(), some.begin() + taken);
    // Perhaps they have all been sent and nobody has taken them back.
    if (taken == 0) {
      for (Side& side : sides_) {
        const std::lock_guard lock(side.send_queue->lock);
        drain(*side.send_queue);
      }
    }
    if (spare_.empty()) return false;
  }
  frame = spare_.back();
  spare_.pop_back();
  return true;
}

void XskRing::release_batch() noexcept {
  for (uint32_t i = 0; i < batched_; i++) {
    // What has been sent belongs to the kernel until it says so.
    if (set_->pool().owner(batch_[i]) == held_by(shard_)) keep(batch_[i]);
  }
  batched_ = 0;
}

void XskRing::keep_at_most(std::size_t count) noexcept {
  if (spare_.size() <= count) return;
  set_->pool().give({spare_.data() + count, spare_.size() - count});
  spare_.resize(count);
}

uint32_t XskRing::drain(XskQueue& queue) noexcept {
  const uint32_t count = queue.completion.used();
  if (count == 0) return 0;
  const uint32_t from = queue.completion.consumed();
  FramePool& pool = set_->pool();
  uint32_t drained = 0;
  for (uint32_t i = 0; i < count; i++) {
    const uint64_t frame = queue.completion.at(from + i) >> shift_;
    // Another shard's too: whoever finds them has them.
    if (frame >= pool.frames() || pool.owner(static_cast<uint32_t>(frame)) < kSent) continue;
    keep(static_cast<uint32_t>(frame));
    drained++;
  }
  queue.completion.consume(from + count);
  return drained;
}

void XskRing::refill(XskQueue& queue) noexcept {
  const uint32_t used = queue.fill.used();
  if (used + kRefillBatch > queue.filled) return;
  uint32_t wanted = queue.filled - used;
  FramePool& pool = set_->pool();
  if (spare_.size() < wanted) {
    const std::size_t had = spare_.size();
    spare_.resize(wanted);
    spare_.resize(had + pool.take({spare_.data() + had, wanted - had}, spare_of(shard_)));
    wanted = static_cast<uint32_t>(spare_.size());
  }
  if (wanted == 0) return;
  const uint32_t from = queue.fill.produced();
  for (uint32_t i = 0; i < wanted; i++) {
    const uint32_t frame = spare_.back();
    spare_.pop_back();
    pool.set_owner(frame, kInKernel);
    queue.fill.at(from + i) = uint64_t{frame} << shift_;
  }
  queue.fill.produce(from + wanted);
  // A driver with zero-copy that had run dry does not look again by itself.
  if (queue.fill.needs_wakeup()) recvfrom(queue.fd, nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
}

void XskRing::serve(XskQueue& queue) noexcept {
  const std::unique_lock lock(queue.lock, std::try_to_lock);
  if (!lock) return;  // somebody is at it
  drain(queue);
  refill(queue);
}

void XskRing::serve_all() noexcept {
  for (Side& side : sides_) {
    for (uint32_t q = 0; q < side.device->queues; q++) {
      XskQueue& queue = side.device->queue[q];
      // A queue has one shard that looks after it. The others help out when it sleeps, or has died.
      const bool neglected = queue.fill.used() < queue.filled / 2 || queue.completion.used() >= kNeglected;
      if (q % set_->shards() == shard_ || neglected) serve(queue);
    }
  }
  keep_at_most(spare_limit_);
}

uint8_t XskRing::port_of(uint8_t device, uint32_t vlan) const noexcept {
  for (std::size_t p = 0; p < ports_.size(); p++) {
    if (ports_[p].device == device && ports_[p].vlan == vlan) return static_cast<uint8_t>(p);
  }
  return TD_PORT_NONE;
}

uint32_t XskRing::take(XskSocket& socket, uint8_t device, uint32_t from, uint32_t room) noexcept {
  KernelRing<xdp_desc>& ring = socket.receive;
  const uint32_t count = std::min(ring.used(), room);
  if (count == 0) return 0;
  uint8_t* base = memory_->bytes().data();
  FramePool& pool = set_->pool();
  const uint32_t first = ring.consumed();
  uint32_t taken = 0;
  for (uint32_t n = 0; n < count; n++) {
    const xdp_desc& descriptor = ring.at(first + n);
    const auto frame = static_cast<uint32_t>(descriptor.addr >> shift_);
    if (frame >= pool.frames()) continue;
    if (descriptor.options != 0) {  // a part of a frame in several pieces
      keep(frame);
      lost_++;
      counters_.statistics[counters_.receive_ring] += 1;
      continue;
    }
    pool.set_owner(frame, held_by(shard_));
    auto offset = static_cast<std::size_t>(descriptor.addr);
    std::size_t length = descriptor.len;
    const VlanTag tag = strip_tag(base + offset, length);
    if (tag.present) {
      offset += kTagLength;
      length -= kTagLength;
    }
    const uint32_t i = from + taken;
    columns_.offset[i] = static_cast<int32_t>(offset);
    columns_.length[i] = static_cast<int32_t>(length);
    columns_.egress[i] = TD_PORT_NONE;
    columns_.ingress[i] = tag.service ? uint8_t{TD_PORT_NONE} : port_of(device, tag.vlan);
    columns_.flags[i] = 0;
    columns_.verdict[i] = TD_VERDICT_DROP;
    batch_[batched_++] = frame;
    taken++;
  }
  ring.consume(first + count);
  return taken;
}

uint32_t XskRing::receive_from(Side& side, uint8_t index, uint32_t from, uint32_t room) noexcept {
  const uint32_t queues = side.device->queues;
  uint32_t taken = 0;
  for (uint32_t n = 0; n < queues && taken < room; n++) {
    const uint32_t queue = (side.next_queue + n) % queues;
    taken += take(socket_of(side, queue), index, from + taken, room - taken);
  }
  if (queues > 1) side.next_queue = (side.next_queue + 1) % queues;
  return taken;
}

uint32_t XskRing::receive() noexcept {
  const auto count = static_cast<uint8_t>(sides_.size());
  uint32_t taken = 0;
  // No device may starve another: each gets its share first, then whoever has more fills the rest.
  for (uint32_t room : {TD_BATCH_CAPACITY / uint32_t{count}, uint32_t{TD_BATCH_CAPACITY}}) {
    for (uint8_t n = 0; n < count; n++) {
      const auto index = static_cast<uint8_t>((first_side_ + n) % count);
      taken += receive_from(sides_[index], index, taken, std::min(room, TD_BATCH_CAPACITY - taken));
    }
    if (count == 1) break;
  }
  first_side_ = static_cast<uint8_t>((first_side_ + 1) % count);
  taken_ += taken;
  return taken;
}

void XskRing::wait(uint32_t wait_ms) noexcept {
  // Others may need them while this thread sleeps.
  for (Side& side : sides_) {
    if (side.send_queue->completion.used() > 0) serve(*side.send_queue);
  }
  keep_at_most(0);
  for (pollfd& each : polled_) each.revents = 0;
  if (poll(polled_.data(), polled_.size(), static_cast<int>(wait_ms)) <= 0) return;
  if ((polled_.back().revents & POLLIN) != 0) {
    uint64_t drained = 0;
    [[maybe_unused]] const ssize_t got = ::read(wake_fd_, &drained, sizeof drained);
  }
  std::size_t at = 0;
  for (Side& side : sides_) {
    for (uint32_t q = 0; q < side.device->queues; q++, at++) {
      if ((polled_[at].revents & POLLERR) == 0) continue;
      // Reading the error clears it; else every poll would return at once.
      int error = 0;
      socklen_t length = sizeof error;
      getsockopt(polled_[at].fd, SOL_SOCKET, SO_ERROR, &error, &length);
      side.failed = true;
    }
  }
}

void XskRing::check_devices() {
  const bool due = clock_[0] - checked_at_ >= kCheckSeconds;
  if (due) {
    checked_at_ = clock_[0];
    pull_statistics();
  }
  for (Side& side : sides_) {
    if (!due && !side.failed) continue;
    side.failed = false;
    side.frame_limit = side.device->frame_limit();
    // By its index: the name may be given to another device.
    char name[IF_NAMESIZE];
    if (if_indextoname(side.device->interface, name) == nullptr && (errno == ENXIO || errno == ENODEV)) {
      throw SystemError{"interface " + side.device->name + " has gone", ENODEV};
    }
  }
}

uint32_t XskRing::turn(uint32_t received, uint32_t scratch, uint32_t wait_ms) {
  if (closed() || set_->closed() || !set_->serves(shard_, attached_)) {
    throw SystemError{"the AF_XDP sockets of shard " + std::to_string(shard_) + " are closed", EBADF};
  }
  rewrite(received, scratch);
  send(received, scratch);
  release_batch();
  serve_all();
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
  counters_.statistics[counters_.frames_received] += taken;
  check_devices();
  return taken;
}

void XskRing::pull_statistics() noexcept {
  for (const Side& side : sides_) {
    for (uint32_t q = 0; q < side.device->queues; q++) {
      XskSocket& socket = socket_of(side, q);
      xdp_statistics statistics{};
      socklen_t length = sizeof statistics;
      if (getsockopt(socket.fd.get(), SOL_XDP, XDP_STATISTICS, &statistics, &length) != 0) continue;
      // Dropped: no frame in the fill ring, or longer than a frame's place.
      const uint64_t lost = statistics.rx_dropped + statistics.rx_ring_full;
      counters_.statistics[counters_.receive_ring] += static_cast<double>(lost - socket.lost);
      lost_ += lost - socket.lost;
      socket.lost = lost;
    }
  }
}

void XskRing::close() noexcept {
  if (closed()) return;
  sides_.clear();
  set_->detach(shard_, attached_);
  set_.reset();  // the sockets' end, when the set has been closed and this was the last ring
}

}  // namespace td
