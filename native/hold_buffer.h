// Packets of sessions on hold: kept in order, bounded in bytes and time, by each worker for itself.
#pragma once

#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <unordered_map>

namespace td {

struct HoldLimits {
  uint64_t session_bytes, bytes;
  uint32_t milliseconds;
};

class HoldBuffer {
 public:
  struct Packet {
    std::unique_ptr<uint8_t[]> bytes;
    uint32_t length;
    uint64_t at;  // milliseconds
  };
  struct Queue {
    uint32_t epoch = 0;
    uint64_t bytes = 0;
    std::deque<Packet> packets;
  };

  [[nodiscard]] bool empty() const noexcept { return queues_.empty(); }
  [[nodiscard]] uint64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] uint64_t packets() const noexcept { return packets_; }

  /// False when there is no room: the packet is not kept.
  bool keep(uint32_t slot, uint32_t epoch, const uint8_t* bytes, uint32_t length, uint64_t now,
            const HoldLimits& limits) {
    Queue& queue = queues_[slot];
    if (queue.packets.empty()) queue.epoch = epoch;
    const uint64_t cost = length + kOverhead;
    if (queue.epoch != epoch || queue.bytes + cost > limits.session_bytes || bytes_ + cost > limits.bytes) {
      if (queue.packets.empty()) queues_.erase(slot);
      return false;
    }
    Packet packet{std::make_unique_for_overwrite<uint8_t[]>(length), length, now};
    std::memcpy(packet.bytes.get(), bytes, length);
    queue.packets.push_back(std::move(packet));
    queue.bytes += cost;
    bytes_ += cost;
    packets_++;
    return true;
  }

  /// Drops what has waited too long; returns how many packets of the queue.
  uint64_t expire(Queue& queue, uint64_t now, const HoldLimits& limits) {
    uint64_t dropped = 0;
    while (!queue.packets.empty() && now - queue.packets.front().at > limits.milliseconds) {
      pop(queue);
      dropped++;
    }
    return dropped;
  }

  void pop(Queue& queue) {
    const uint64_t cost = queue.packets.front().length + kOverhead;
    queue.bytes -= cost;
    bytes_ -= cost;
    packets_--;
    queue.packets.pop_front();
  }

  Queue* find(uint32_t slot) {
    const auto found = queues_.find(slot);
    return found == queues_.end() ? nullptr : &found->second;
  }

  /// Calls `visit(slot, queue)` for each; a queue that it leaves empty is forgotten.
  template <typename Visit>
  void each(Visit visit) {
    for (auto at = queues_.begin(); at != queues_.end();) {
      visit(at->first, at->second);
      at = at->second.packets.empty() ? queues_.erase(at) : std::next(at);
    }
  }

 private:
  /// What a packet costs besides its bytes.
  static constexpr uint64_t kOverhead = 64;
  std::unordered_map<uint32_t, Queue> queues_;
  uint64_t bytes_ = 0, packets_ = 0;
};

}  // namespace td
