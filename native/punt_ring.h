// What a worker hands to the main thread: the producer's side. src/flow/punt-ring.ts is the consumer's.
#pragma once

#include <cstdint>
#include <cstring>

#include "session_layout.h"

namespace td {

struct PuntRecord {
  uint32_t kind;         // TD_PUNT_KIND_…
  int slot;              // −1 none
  uint32_t socket;       // index << 16 | port
  const uint32_t* peer;  // 4 words, or nullptr
  const uint8_t* head;   // put before the bytes
  uint32_t head_length;
  const uint8_t* bytes;
  uint32_t length;
};

class PuntRing {
 public:
  /// Over one worker's TD_PUNT_STRIDE bytes.
  explicit PuntRing(uint8_t* memory = nullptr)
      : head_(reinterpret_cast<uint32_t*>(memory)), bytes_(memory + TD_PUNT_HEAD_LENGTH) {}

  /// Bytes that wait.
  [[nodiscard]] uint32_t used() const noexcept {
    return head_[TD_PUNT_RING_TAIL] - __atomic_load_n(head_ + TD_PUNT_RING_HEAD, __ATOMIC_ACQUIRE);
  }

  /// False when the record would make the ring hold more than `limit` bytes.
  bool push(const PuntRecord& record, uint32_t limit) noexcept {
    const uint32_t length = record.head_length + record.length;
    const uint32_t whole = (TD_PUNT_RECORD_LENGTH + length + 7) & ~7U;
    uint32_t tail = head_[TD_PUNT_RING_TAIL];
    uint32_t offset = tail & (TD_PUNT_RING_LENGTH - 1);
    const uint32_t skipped = offset + whole > TD_PUNT_RING_LENGTH ? TD_PUNT_RING_LENGTH - offset : 0;
    if (length > TD_PUNT_RING_LENGTH / 8 || used() + skipped + whole > limit) return false;
    if (skipped != 0) {
      word(offset) = TD_PUNT_WRAP;
      tail += skipped;
      offset = 0;
    }
    uint32_t* words = &word(offset);
    words[TD_PUNT_LENGTH] = length;
    words[TD_PUNT_KIND] = record.kind << 24 | static_cast<uint32_t>(record.slot + 1);
    words[TD_PUNT_SOCKET] = record.socket;
    for (uint32_t i = 0; i < 4; i++) words[TD_PUNT_PEER + i] = record.peer == nullptr ? 0 : record.peer[i];
    uint8_t* to = bytes_ + offset + TD_PUNT_RECORD_LENGTH;
    if (record.head_length != 0) std::memcpy(to, record.head, record.head_length);
    if (record.length != 0) std::memcpy(to + record.head_length, record.bytes, record.length);
    __atomic_store_n(head_ + TD_PUNT_RING_TAIL, tail + whole, __ATOMIC_RELEASE);
    return true;
  }

 private:
  [[nodiscard]] uint32_t& word(uint32_t offset) noexcept { return *reinterpret_cast<uint32_t*>(bytes_ + offset); }

  uint32_t* head_;
  uint8_t* bytes_;
};

}  // namespace td
