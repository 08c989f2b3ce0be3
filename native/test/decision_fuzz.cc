// libFuzzer: the decision's parser over any frame. Nothing outside of the frame is read, and only what is a data frame
// by its own header finds the entry that is there.
#include <memory>

#include "../hash.h"
#include "../twin.h"
#include "packets.h"

using namespace packets;

namespace {

#define MUST(condition) \
  if (!(condition)) __builtin_trap()

/// One tunnel of 192.128.10.5:1701 with the VIP 200.200.100.1, id 7, as forward entry; VIP 0 and server 1 are known.
struct Memory {
  static constexpr uint32_t kBuckets = TD_LINE_BUCKETS;
  std::vector<uint32_t> header = std::vector<uint32_t>(TD_PAGE_LENGTH / 4);
  std::vector<uint32_t> buckets = std::vector<uint32_t>(kBuckets);
  std::vector<uint32_t> entries = std::vector<uint32_t>(kBuckets * TD_BUCKET_SLOTS * TD_ENTRY_WORDS);
  uint32_t slot = 0;

  Memory() {
    const uint32_t key[TD_KEY_WORDS] = {
        0, 0, 0xffff, 0xc0800a05, (1701U << 16) | 1701, 7, (TD_PROTOCOL_L2TP << 8) | TD_TABLE_FORWARD};
    header[TD_HEADER_HASH_SEED] = 5;
    uint32_t multipliers[TD_KEY_WORDS];
    for (uint32_t i = 0; i < TD_KEY_WORDS; i++) multipliers[i] = td_multiplier(5, i);
    const uint32_t hash = td_hash_key(key, multipliers);
    const uint32_t bucket = td_bucket_of(hash, kBuckets);
    slot = bucket * TD_BUCKET_SLOTS + 2;
    buckets[bucket] = td_fingerprint_of(hash) << 16;
    std::copy_n(key, TD_KEY_WORDS, &entries[slot * TD_ENTRY_WORDS + TD_ENTRY_CLIENT]);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  static const Memory memory;
  static td::Decision decision({memory.header.data(), memory.buckets.data(), memory.entries.data(), Memory::kBuckets},
                               {{{0, 0, 0xffff, 0xc8c86401}, 0, 1701, true},
                                {{0x20010db8, 0, 0, 1}, 2, 1701, true},
                                {{0, 0, 0xffff, 0x0a0a0101}, 1, 1701, false}});
  if (size == 0) return 0;
  Bytes frame(data + 1, data + size);
  if ((data[0] & 1) != 0 && frame.size() >= 42) {  // addressed to the VIP, so that more than the address is looked at
    put16(&frame[12], 0x0800);
    frame[14] = 0x45;
    put16(&frame[16], static_cast<uint32_t>(frame.size() - 14));
    put16(&frame[20], get16(&frame[20]) & 0xc000);
    frame[23] = 17;
    put32(&frame[26], 0xc0800a05);
    put32(&frame[30], 0xc8c86401);
    put32(&frame[34], (1701U << 16) | 1701);
    if ((data[0] & 2) != 0) put16(&frame[38], static_cast<uint32_t>(frame.size() - 34));
  }
  const std::unique_ptr<uint8_t[]> exact(new uint8_t[frame.size()]);
  std::copy(frame.begin(), frame.end(), exact.get());
  int32_t offset = 0;
  auto length = static_cast<int32_t>(frame.size());
  int32_t verdict = 77;
  uint8_t ingress = 0;
  uint8_t egress = 0;
  uint8_t flags = 0;
  uint8_t kind = 77;
  uint32_t key[TD_KEY_WORDS] = {};
  const uint32_t found = decision.decide({exact.get(), frame.size()},
                                         {&offset, &length, &ingress, &egress, &flags, &verdict}, &kind, key, 1);
  // Data is either found or no more than a miss; a fragment is asked about elsewhere.
  MUST((kind <= td::kKindUnboundOut || kind == td::kKindFragment) && kind != td::kKindDataIn &&
       kind != td::kKindDataOut);
  MUST(found == (verdict >= 0 ? 1U : 0U));
  if (verdict >= 0) {
    MUST(verdict == static_cast<int32_t>(memory.slot) && kind == td::kKindDone);
    const std::size_t l4 = 14 + (frame[14] & 15U) * 4;
    const std::size_t id = l4 + 8 + ((frame[l4 + 8] & 0x40) != 0 ? 4 : 2);
    MUST((frame[l4 + 8] & 0x80) == 0 && get16(&frame[id]) == 7 && get32(&frame[26]) == 0xc0800a05);
  } else {
    MUST(verdict == TD_VERDICT_DROP);
  }
  return 0;
}
