#include "twin.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>

#include "checksum.h"
#include "hash.h"

namespace td {
namespace {

constexpr uint32_t kChunk = 64;
constexpr std::size_t kEthernetLength = 14;
constexpr uint32_t kMapped = 0xffff;  // third word of an IPv4-mapped address
constexpr unsigned kExtensionLimit = 8;
constexpr uint8_t kIcmp = 1;
constexpr uint8_t kUdp = 17;
constexpr uint8_t kFragment = 44;
constexpr uint8_t kIcmpv6 = 58;

uint32_t load_word(const uint32_t* word, std::memory_order order = std::memory_order_relaxed) noexcept {
  return std::atomic_ref<uint32_t>(*const_cast<uint32_t*>(word)).load(order);
}

uint32_t spread(const uint32_t* words) noexcept {
  const uint32_t h = (words[0] ^ words[1] ^ words[2] ^ words[3]) * TD_HASH_M1;
  return h ^ (h >> 15);
}

uint32_t spread_place(uint32_t at) noexcept {
  const uint32_t h = at * TD_HASH_M1;
  return h ^ (h >> 15);
}

std::size_t power_of_two(std::size_t least) noexcept {
  std::size_t size = 16;
  while (size < least) size *= 2;
  return size;
}

/// Slot of the lowest bit that `candidates` found for these buckets.
uint32_t slot_of(uint32_t a, uint32_t b, uint32_t found) noexcept {
  const auto bit = static_cast<uint32_t>(std::countr_zero(found));
  // Odd: in bucket a. A mask and not a choice, which compilers make a branch that nothing can foresee.
  return (b ^ ((a ^ b) & (0U - (bit & 1)))) * TD_BUCKET_SLOTS + bit / 8;
}

enum class L2tp : uint8_t { kMalformed, kData, kControl, kUnbound };

/// src/tunnels/l2tp: what the header says, and its tunnel id. RFC 2661 §3.1.
L2tp classify_l2tp(const uint8_t* message, std::size_t available, uint32_t& tunnel) noexcept {
  if (available < 2 || (message[1] & 0x0f) != 2) return L2tp::kMalformed;
  const uint8_t flags = message[0];
  const bool has_length = (flags & 0x40) != 0;
  if ((flags & 0x80) != 0) {
    if ((flags & 0xcb) != 0xc8 || available < 12) return L2tp::kMalformed;
    const std::size_t length = load16(message + 2);
    if (length < 12 || length > available) return L2tp::kMalformed;
    tunnel = load16(message + 4);
    return tunnel == 0 ? L2tp::kUnbound : L2tp::kControl;
  }
  std::size_t header = 6;
  if (has_length) header += 2;
  if ((flags & 0x08) != 0) header += 4;
  if ((flags & 0x02) != 0) header += 2;
  if (available < header) return L2tp::kMalformed;
  std::size_t length = available;
  if (has_length) {
    length = load16(message + 2);
    if (length > available || length < header) return L2tp::kMalformed;
  }
  if ((flags & 0x02) != 0) {
    header += load16(message + header - 2);
    if (header > length) return L2tp::kMalformed;
  }
  tunnel = load16(message + (has_length ? 4 : 2));
  return tunnel == 0 ? L2tp::kMalformed : L2tp::kData;
}

}  // namespace

bool Lookup::holds(uint32_t slot, const uint32_t* key) const noexcept {
  const uint32_t* entry = view_.entries + std::size_t{slot} * TD_ENTRY_WORDS;
  const uint32_t version = load_word(entry + TD_ENTRY_VERSION, std::memory_order_acquire);
  if ((version & 1) != 0) return false;
  uint32_t difference = 0;
  for (std::size_t i = 0; i < TD_KEY_WORDS; i++) difference |= load_word(entry + TD_ENTRY_CLIENT + i) ^ key[i];
  if (difference != 0) return false;
  std::atomic_thread_fence(std::memory_order_acquire);
  return load_word(entry + TD_ENTRY_VERSION) == version;
}

/// The highest bit of each byte that is the hash's fingerprint: bucket a's, and one place lower b's.
uint32_t Lookup::candidates(uint32_t a, uint32_t b, uint32_t hash) const noexcept {
  const uint32_t wanted = td_fingerprint_of(hash) * 0x01010101U;
  const auto matches = [&](uint32_t bucket) {
    const uint32_t difference = load_word(view_.buckets + bucket, std::memory_order_acquire) ^ wanted;
    return ~(((difference & 0x7f7f7f7fU) + 0x7f7f7f7fU) | difference) & 0x80808080U;
  };
  return matches(a) | (matches(b) >> 1);
}

int32_t Lookup::among(uint32_t a, uint32_t b, uint32_t hash, const uint32_t* key) const noexcept {
  for (uint32_t found = candidates(a, b, hash); found != 0; found &= found - 1) {
    const uint32_t slot = slot_of(a, b, found);
    if (holds(slot, key)) return static_cast<int32_t>(slot);
  }
  return -1;
}

int32_t Lookup::find(const uint32_t* key) const noexcept {
  const uint32_t hash = td_hash_key(key, multipliers_);
  const uint32_t buckets = view_.bucket_count;
  const uint32_t first = td_bucket_of(hash, buckets);
  int32_t slot = among(first, td_other_bucket(first, hash), hash, key);
  if (slot >= 0 || load_word(view_.header + TD_HEADER_OVERFLOW_ENTRIES) == 0) return slot;
  const uint32_t third = td_third_hash(hash);
  uint32_t bucket = td_bucket_of(td_fourth_hash(third), buckets);
  slot = among(td_bucket_of(third, buckets), bucket, hash, key);
  const uint32_t reach = load_word(view_.header + TD_HEADER_OVERFLOW_REACH);
  for (uint32_t distance = 3; slot < 0 && distance <= reach; distance++) {
    bucket = bucket + 1 < buckets ? bucket + 1 : 0;
    slot = among(bucket, bucket, hash, key);
  }
  return slot;
}

void Lookup::find_many(const uint32_t* keys, uint32_t count, int32_t* slots) const noexcept {
  // Three passes over a chunk, so that the waits for memory overlap: hash and fetch the buckets, pick candidates and
  // fetch their entries, compare.
  std::array<uint32_t, kChunk> hashes;
  std::array<uint32_t, kChunk> first;
  for (uint32_t from = 0; from < count; from += kChunk) {
    const uint32_t n = std::min(kChunk, count - from);
    const uint32_t* chunk = keys + std::size_t{from} * TD_KEY_WORDS;
    for (uint32_t i = 0; i < n; i++) {
      hashes[i] = td_hash_key(chunk + std::size_t{i} * TD_KEY_WORDS, multipliers_);
      first[i] = td_bucket_of(hashes[i], view_.bucket_count);
      __builtin_prefetch(view_.buckets + first[i]);
    }
    for (uint32_t i = 0; i < n; i++) {
      const uint32_t other = td_other_bucket(first[i], hashes[i]);
      const uint32_t found = candidates(first[i], other, hashes[i]);
      // Without a candidate any slot near by does: its key is another one.
      const uint32_t slot = slot_of(first[i], other, found | 0x80000000U);
      slots[from + i] = static_cast<int32_t>(slot);
      __builtin_prefetch(view_.entries + std::size_t{slot} * TD_ENTRY_WORDS);
    }
    for (uint32_t i = 0; i < n; i++) {
      const uint32_t* key = chunk + std::size_t{i} * TD_KEY_WORDS;
      // Another key with the same fingerprint in front of this one, or further buckets in use: rare, so the plain way.
      if (!holds(static_cast<uint32_t>(slots[from + i]), key)) slots[from + i] = find(key);
    }
  }
}

Decision::Decision(const LookupView& view, const std::vector<KnownPlace>& places)
    : lookup_(view), entries_(view.entries), addresses_(power_of_two(places.size() * 4)), places_(addresses_.size()) {
  for (const KnownPlace& known : places) {
    std::size_t slot = spread(known.address) & (addresses_.size() - 1);
    while (addresses_[slot].index != 0 && addresses_[slot].index != known.address_index + 1U) {
      slot = (slot + 1) & (addresses_.size() - 1);
    }
    Address& address = addresses_[slot];
    std::copy_n(known.address, 4, address.words);
    address.index = known.address_index + 1U;
    (known.is_vip ? address.is_vip : address.is_server) = true;
    const uint32_t at = (static_cast<uint32_t>(known.address_index) << 16) | known.port;
    std::size_t place = spread_place(at) & (places_.size() - 1);
    while (places_[place].used && places_[place].at != at) place = (place + 1) & (places_.size() - 1);
    places_[place].at = at;
    places_[place].used = true;
    (known.is_vip ? places_[place].is_vip : places_[place].is_server) = true;
  }
}

const Decision::Address* Decision::address_of(const uint32_t* words) const noexcept {
  for (std::size_t slot = spread(words);; slot++) {
    const Address& address = addresses_[slot & (addresses_.size() - 1)];
    if (address.index == 0) return nullptr;
    if (std::equal(words, words + 4, address.words)) return &address;
  }
}

const Decision::Place* Decision::place_at(uint32_t address, uint32_t port) const noexcept {
  const uint32_t at = (address << 16) | port;
  for (std::size_t slot = spread_place(at);; slot++) {
    const Place& place = places_[slot & (places_.size() - 1)];
    if (!place.used) return nullptr;
    if (place.at == at) return &place;
  }
}

Decision::Role Decision::role_of(const uint32_t* source, const uint32_t* destination,
                                 uint32_t& address) const noexcept {
  const Address* found = address_of(destination);
  if (found != nullptr && found->is_vip) {
    address = found->index - 1;
    return Role::kClient;
  }
  found = address_of(source);
  if (found == nullptr || !found->is_server) return Role::kNone;
  address = found->index - 1;
  return Role::kServer;
}

uint8_t Decision::classify_udp(const uint8_t* udp, std::size_t room, Role role, uint32_t address,
                               uint32_t* key) const noexcept {
  if (room < 8) return kKindDone;
  const uint32_t source = load16(udp);
  const uint32_t destination = load16(udp + 2);
  const bool inward = role == Role::kClient;
  const Place* place = place_at(address, inward ? destination : source);
  if (place == nullptr || !(inward ? place->is_vip : place->is_server)) return kKindHost;
  const std::size_t length = load16(udp + 4);
  if (length < 8 || length > room) return kKindDone;
  uint32_t tunnel = 0;
  const L2tp answer = classify_l2tp(udp + 8, length - 8, tunnel);
  if (answer == L2tp::kMalformed) return kKindDone;
  key[4] = inward ? (source << 16) | destination : destination << 16;
  key[5] = tunnel;
  key[6] = (address << 16) | (TD_PROTOCOL_L2TP << 8) | (inward ? TD_TABLE_FORWARD : TD_TABLE_REVERSE);
  switch (answer) {
    case L2tp::kData:
      return inward ? kKindDataIn : kKindDataOut;
    case L2tp::kControl:
      return inward ? kKindControlIn : kKindControlOut;
    default:
      return inward ? kKindUnboundIn : kKindUnboundOut;
  }
}

/// `udp`: the header in a first fragment, or null.
uint8_t Decision::fragment_kind(Role role, uint8_t protocol, const uint8_t* udp, uint32_t address) const noexcept {
  if (protocol != kUdp) return role == Role::kServer ? kKindHost : kKindDone;
  if (role == Role::kClient) return kKindFragment;
  const Place* place = udp == nullptr ? nullptr : place_at(address, load16(udp));
  return place != nullptr && place->is_server ? kKindFragment : kKindHost;
}

uint8_t Decision::classify_ipv4(std::span<const uint8_t> frame, uint32_t* key) const noexcept {
  const uint8_t* ip = frame.data() + kEthernetLength;
  const std::size_t room = frame.size() - kEthernetLength;
  if (room < 20) return kKindDone;
  const uint32_t source[4] = {0, 0, kMapped, load32(ip + 12)};
  const uint32_t destination[4] = {0, 0, kMapped, load32(ip + 16)};
  uint32_t address = 0;
  const Role role = role_of(source, destination, address);
  std::copy_n(role == Role::kServer ? destination : source, 4, key);
  const std::size_t header = std::size_t{ip[0] & 15U} * 4;
  const std::size_t total = load16(ip + 2);
  if (header < 20 || total < header || total > room || (ip[0] >> 4) != 4) {
    return role == Role::kClient ? kKindDone : kKindHost;
  }
  if (role == Role::kNone) return kKindHost;
  const bool fragment = (load16(ip + 6) & 0x3fff) != 0;
  if (ip[9] == kIcmp) {
    if (role != Role::kClient) return kKindHost;
    if (fragment || total - header < 8) return kKindLocal;
    const uint8_t type = ip[header];
    return type == 3 || type == 11 || type == 12 ? kKindIcmpError : kKindLocal;
  }
  if (fragment) {
    const bool first = (load16(ip + 6) & 0x1fff) == 0;
    return fragment_kind(role, ip[9], first && total - header >= 8 ? ip + header : nullptr, address);
  }
  if (ip[9] != kUdp) return kKindHost;
  return classify_udp(ip + header, total - header, role, address, key);
}

uint8_t Decision::classify_ipv6(std::span<const uint8_t> frame, uint32_t* key) const noexcept {
  const uint8_t* ip = frame.data() + kEthernetLength;
  const std::size_t room = frame.size() - kEthernetLength;
  if (room < 40) return kKindDone;
  uint32_t source[4];
  uint32_t destination[4];
  for (std::size_t word = 0; word < 4; word++) {
    source[word] = load32(ip + 8 + word * 4);
    destination[word] = load32(ip + 24 + word * 4);
  }
  uint32_t address = 0;
  const Role role = role_of(source, destination, address);
  std::copy_n(role == Role::kServer ? destination : source, 4, key);
  const uint8_t broken = role == Role::kClient ? kKindDone : kKindHost;
  const std::size_t end = 40 + std::size_t{load16(ip + 4)};
  if (end > room || (ip[0] >> 4) != 6) return broken;
  uint8_t next = ip[6];
  std::size_t l4 = 40;
  for (unsigned n = 0; next == 0 || next == 43 || next == 60; n++) {
    if (n == kExtensionLimit || end - l4 < 8) return broken;
    const std::size_t length = (std::size_t{ip[l4 + 1]} + 1) * 8;
    next = ip[l4];
    if (length > end - l4) return broken;
    l4 += length;
  }
  if (next == kIcmpv6) {
    if (role == Role::kServer) return kKindHost;
    return role == Role::kClient && end - l4 >= 8 && ip[l4] >= 1 && ip[l4] <= 4 ? kKindIcmpError : kKindLocal;
  }
  if (role == Role::kNone) return kKindHost;
  if (next == kFragment) {
    if (end - l4 < 8) return kKindDone;
    const uint16_t fragment = load16(ip + l4 + 2);
    next = ip[l4];
    l4 += 8;
    if ((fragment & 0xfff9) != 0) {
      const bool first = (fragment & 0xfff8) == 0;
      return fragment_kind(role, next, first && end - l4 >= 8 ? ip + l4 : nullptr, address);
    }
  }
  if (next != kUdp) return kKindHost;
  return classify_udp(ip + l4, end - l4, role, address, key);
}

uint8_t Decision::classify(std::span<const uint8_t> frame, uint32_t* key) const noexcept {
  if (frame.size() < kEthernetLength) return kKindDone;
  switch (load16(frame.data() + 12)) {
    case 0x0800:
      return classify_ipv4(frame, key);
    case 0x86dd:
      return classify_ipv6(frame, key);
    case 0x0806:
      return kKindLocal;
    default:
      return kKindHost;
  }
}

uint32_t Decision::decide(std::span<const uint8_t> frames, const Columns& columns, uint8_t* kinds, uint32_t* keys,
                          uint32_t count) noexcept {
  std::array<int32_t, TD_BATCH_CAPACITY> slots;
  count = std::min<uint32_t>(count, TD_BATCH_CAPACITY);
  for (uint32_t i = 0; i < count; i++) {
    columns.verdict[i] = TD_VERDICT_DROP;
    kinds[i] = kKindDone;
    if (columns.ingress[i] == TD_PORT_NONE) {
      columns.verdict[i] = TD_VERDICT_PASS;
      continue;
    }
    if (columns.offset[i] < 0 || columns.length[i] < 0) continue;
    const auto offset = static_cast<std::size_t>(columns.offset[i]);
    const auto length = static_cast<std::size_t>(columns.length[i]);
    if (offset + length > frames.size()) continue;
    kinds[i] = classify(frames.subspan(offset, length), keys + std::size_t{i} * TD_KEY_WORDS);
  }
  lookup_.find_many(keys, count, slots.data());
  uint32_t found = 0;
  for (uint32_t i = 0; i < count; i++) {
    if (kinds[i] != kKindDataIn && kinds[i] != kKindDataOut) continue;
    kinds[i] = kKindDone;
    if (slots[i] < 0) continue;
    const uint32_t* entry = entries_ + static_cast<std::size_t>(slots[i]) * TD_ENTRY_WORDS;
    if ((load_word(entry + TD_ENTRY_RECORD) & TD_FLAG_DENIED) != 0) continue;
    columns.verdict[i] = slots[i];
    found++;
  }
  return found;
}

}  // namespace td
