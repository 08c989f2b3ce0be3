// The sending half of XskRing.
#include <linux/if_ether.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <ctime>

#include "vlan_tag.h"
#include "xsk_ring.h"

namespace td {
namespace {

constexpr timespec kSendWait{0, 50'000};
constexpr uint32_t kSendWaits = 20;        // for a device and a turn: two milliseconds, with what a timer adds
constexpr uint32_t kCallLimit = 4096;      // for a device and a turn, whatever the kernel answers
constexpr uint32_t kTakenBack = 1U << 31;  // no option that the kernel knows: it passes the descriptor over

}  // namespace

bool XskRing::enqueue(uint8_t port, std::size_t offset, std::size_t length) noexcept {
  Side& side = sides_[ports_[port].device];
  if (length > side.frame_limit) return false;
  KernelRing<xdp_desc>& ring = side.sender->send;
  if (ring.room() == 0) {
    flush(side);
    if (ring.room() == 0) return false;
  }
  FramePool& pool = set_->pool();
  uint8_t* base = memory_->bytes().data();
  const std::size_t chunk = std::size_t{1} << shift_;
  const uint16_t vlan = ports_[port].vlan;
  const std::size_t tag = vlan == 0 ? 0 : kTagLength;
  uint32_t frame = 0;
  if (offset < std::size_t{pool.frames()} << shift_) {
    // Where it lies, if it is a frame of this shard and has not been sent already.
    frame = static_cast<uint32_t>(offset >> shift_);
    const std::size_t within = offset & (chunk - 1);
    if (pool.owner(frame) != held_by(shard_) || within < tag || within + length > chunk) return false;
    if (tag != 0) put_tag(base + offset - tag, vlan);
    offset -= tag;
  } else {
    if (offset < scratch_offset_ || offset + length > scratch_offset_ + kXskScratchLength) return false;
    if (tag + length > chunk || !take_frame(frame)) return false;
    const std::size_t to = std::size_t{frame} << shift_;
    std::memcpy(base + to + tag, base + offset, length);
    if (tag != 0) put_tag(base + to, vlan);
    offset = to;
  }
  pool.set_owner(frame, side.sent);
  const uint32_t position = ring.produced();
  ring.at(position) = {offset, static_cast<uint32_t>(length + tag), 0};
  ring.produce(position + 1);
  return true;
}

void XskRing::collect(uint32_t first, uint32_t count) noexcept {
  for (uint32_t i = first; i < first + count; i++) {
    if (columns_.verdict[i] != TD_VERDICT_RAW) continue;
    const uint8_t port = columns_.egress[i];
    const bool valid = port < ports_.size() && columns_.offset[i] >= 0 && columns_.length[i] >= ETH_HLEN;
    if (valid && port == TD_PORT_HOST) {
      const auto offset = static_cast<std::size_t>(columns_.offset[i]);
      const auto length = static_cast<std::size_t>(columns_.length[i]);
      const std::span<uint8_t> all = memory_->bytes();
      if (offset + length > all.size() || !host_.add(all.subspan(offset, length))) failed();
      continue;
    }
    if (!valid ||
        !enqueue(port, static_cast<std::size_t>(columns_.offset[i]), static_cast<std::size_t>(columns_.length[i]))) {
      failed();
    }
  }
}

void XskRing::send(uint32_t received, uint32_t scratch) noexcept {
  for (Side& side : sides_) side.waits = 0;
  collect(0, received);
  collect(TD_BATCH_CAPACITY, scratch);
  for (Side& side : sides_) {
    // What an earlier turn has left there, too.
    if (side.sender->send.used() > 0 || side.accounted != side.sender->send.consumed()) flush(side);
  }
  host_.flush(counters_);
}

/// Counts what the kernel has taken from the send ring; returns how many descriptors that were.
uint32_t XskRing::account(Side& side) noexcept {
  const KernelRing<xdp_desc>& ring = side.sender->send;
  const uint32_t end = ring.consumed();
  const uint32_t moved = end - side.accounted;
  double sent = 0;
  double bytes = 0;
  for (; side.accounted != end; side.accounted++) {
    const xdp_desc& descriptor = ring.at(side.accounted);
    if (descriptor.options != 0) continue;
    sent += 1;
    bytes += descriptor.len;
  }
  counters_.statistics[counters_.frames_sent] += sent;
  counters_.statistics[counters_.bytes_sent] += bytes;
  return moved;
}

/// The kernel has taken a frame and the device has thrown it away; it is the last one that was taken.
void XskRing::account_drop(Side& side, bool moved) noexcept {
  const KernelRing<xdp_desc>& ring = side.sender->send;
  failed();
  if (moved) {
    counters_.statistics[counters_.frames_sent] -= 1;
    counters_.statistics[counters_.bytes_sent] -= ring.at(side.accounted - 1).len;
    return;
  }
  // It tells how far it is only when it has sent something: the next one that has not been marked.
  for (uint32_t at = side.accounted; at != ring.produced(); at++) {
    if (ring.at(at).options != 0) continue;
    ring.at(at).options = kTakenBack;
    return;
  }
}

/// Takes back what waits in the send ring. Only where nobody but this thread makes the kernel read it.
void XskRing::cancel(Side& side) noexcept {
  if (set_->zero_copy()) return;
  KernelRing<xdp_desc>& ring = side.sender->send;
  {
    // First what has been sent, so that it is not taken for something that waits.
    const std::lock_guard lock(side.send_queue->lock);
    drain(*side.send_queue);
  }
  FramePool& pool = set_->pool();
  for (uint32_t at = ring.consumed(); at != ring.produced(); at++) {
    xdp_desc& descriptor = ring.at(at);
    const auto frame = static_cast<uint32_t>(descriptor.addr >> shift_);
    if (descriptor.options == 0) failed();
    descriptor.options = kTakenBack;
    if (frame >= pool.frames() || pool.owner(frame) != side.sent) continue;
    keep(frame);
  }
}

XskRing::Kick XskRing::wait_for_room(Side& side) noexcept {
  // A queue drains in microseconds and frames that wait are not lost, but a device that never gets room must not stop
  // the shard.
  if (side.congested || side.waits == kSendWaits) {
    side.congested = true;
    return Kick::kDone;
  }
  side.waits++;
  nanosleep(&kSendWait, nullptr);
  return Kick::kAgain;
}

XskRing::Kick XskRing::answer(Side& side, int error, bool moved) noexcept {
  switch (error) {
    case 0:
      if (set_->zero_copy() || !moved) return Kick::kDone;
      side.congested = false;
      return Kick::kAgain;
    case EBUSY:
      // The device had no room for a frame; the frame is gone.
      account_drop(side, moved);
      if (moved) side.congested = false;
      wait_for_room(side);
      return Kick::kAgain;
    case ENETDOWN:
      cancel(side);
      return Kick::kDone;
    case ENXIO:
    case ENODEV:
      side.failed = true;
      cancel(side);
      return Kick::kDone;
    default: {
      // EAGAIN and ENOBUFS: a share of the work is done, or there is no room for more: in the device, in the socket, or
      // in the completion ring, whose keeper may be asleep.
      if (moved) {
        side.congested = false;
        return Kick::kAgain;
      }
      uint32_t drained = 0;
      {
        const std::lock_guard lock(side.send_queue->lock);
        drained = drain(*side.send_queue);
      }
      if (drained > 0) return Kick::kAgain;
      const Kick next = wait_for_room(side);
      if (next == Kick::kDone && error != EAGAIN && error != ENOBUFS && error != ENOMEM) cancel(side);
      return next;
    }
  }
}

void XskRing::flush(Side& side) noexcept {
  const KernelRing<xdp_desc>& ring = side.sender->send;
  const int fd = side.sender->fd.get();
  uint32_t idle = 0;
  for (uint32_t calls = 0; ring.used() > 0 && calls < kCallLimit; calls++) {
    if (!ring.needs_wakeup()) break;
    const int error = sendto(fd, nullptr, 0, MSG_DONTWAIT, nullptr, 0) < 0 ? errno : 0;
    const bool moved = account(side) > 0;
    if (answer(side, error, moved) == Kick::kDone) {
      // The kernel tells one call later that it has passed over what was taken back.
      if (error != 0 || set_->zero_copy() || ++idle == 2) break;
    }
  }
  account(side);
}

}  // namespace td
