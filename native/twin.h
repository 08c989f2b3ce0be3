// The decision of src/dataplane (classify and recall) once more in C++, over the same table memory: what the TypeScript
// is measured against, and held against in tests. It forwards nothing. Frames on ports that neither a VIP nor a server
// is known by are KIND_HOST here; TypeScript looks whether they might be a floating server's. So are fragments from
// servers and ICMP errors from inside, of which TypeScript asks whether the client has tunnels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "hash.h"
#include "rewrite.h"

namespace td {

/// src/dataplane/batch.ts
enum Kind : uint8_t {
  kKindDone,
  kKindHost,
  kKindLocal,
  kKindDataIn,
  kKindDataOut,
  kKindControlIn,
  kKindControlOut,
  kKindUnboundIn,
  kKindUnboundOut,
  kKindFragment,
  kKindIcmpError,
};

/// The parts of the table that a look-up reads.
struct LookupView {
  const uint32_t* header = nullptr;
  const uint32_t* buckets = nullptr;  // fingerprints, a word per bucket
  const uint32_t* entries = nullptr;
  uint32_t bucket_count = 0;
};

/// Exact-match look-ups; the reading half of src/flow/connection-table.ts.
class Lookup {
 public:
  explicit Lookup(const LookupView& view) noexcept : view_(view) {
    for (uint32_t i = 0; i < TD_KEY_WORDS; i++) {
      multipliers_[i] = td_multiplier(view.header[TD_HEADER_HASH_SEED], i);
    }
  }
  /// Slots of `count` keys of TD_KEY_WORDS words each, −1 where there is none.
  void find_many(const uint32_t* keys, uint32_t count, int32_t* slots) const noexcept;
  [[nodiscard]] int32_t find(const uint32_t* key) const noexcept;

 private:
  [[nodiscard]] bool holds(uint32_t slot, const uint32_t* key) const noexcept;
  [[nodiscard]] uint32_t candidates(uint32_t a, uint32_t b, uint32_t hash) const noexcept;
  [[nodiscard]] int32_t among(uint32_t a, uint32_t b, uint32_t hash, const uint32_t* key) const noexcept;

  LookupView view_;
  uint32_t multipliers_[TD_KEY_WORDS];
};

/// An address that the appliance knows, and a port at which it knows it.
struct KnownPlace {
  uint32_t address[4];
  uint16_t address_index;
  uint16_t port;
  bool is_vip;  // else a server
};

class Decision {
 public:
  Decision(const LookupView& view, const std::vector<KnownPlace>& places);
  /// Looks at columns [0, count): data frames of a known tunnel get its slot as verdict, all others TD_VERDICT_DROP or
  /// TD_VERDICT_PASS; `kinds` says what they are, `keys` takes TD_KEY_WORDS words for each. Returns how many got a
  /// slot.
  uint32_t decide(std::span<const uint8_t> frames, const Columns& columns, uint8_t* kinds, uint32_t* keys,
                  uint32_t count) noexcept;
  [[nodiscard]] const Lookup& lookup() const noexcept { return lookup_; }

 private:
  struct Address {
    uint32_t words[4];
    uint32_t index;  // + 1, 0 free
    bool is_vip, is_server;
  };
  struct Place {
    uint32_t at;  // address index << 16 | port
    bool used, is_vip, is_server;
  };
  enum class Role : uint8_t { kNone, kClient, kServer };

  [[nodiscard]] const Address* address_of(const uint32_t* words) const noexcept;
  [[nodiscard]] const Place* place_at(uint32_t address, uint32_t port) const noexcept;
  [[nodiscard]] Role role_of(const uint32_t* source, const uint32_t* destination, uint32_t& address) const noexcept;
  uint8_t classify(std::span<const uint8_t> frame, uint32_t* key) const noexcept;
  uint8_t classify_ipv4(std::span<const uint8_t> frame, uint32_t* key) const noexcept;
  uint8_t classify_ipv6(std::span<const uint8_t> frame, uint32_t* key) const noexcept;
  uint8_t fragment_kind(Role role, uint8_t protocol, const uint8_t* udp, uint32_t address) const noexcept;
  uint8_t classify_udp(const uint8_t* udp, std::size_t room, Role role, uint32_t address, uint32_t* key) const noexcept;

  Lookup lookup_;
  const uint32_t* entries_;
  std::vector<Address> addresses_;  // open addressing, a power of two
  std::vector<Place> places_;
};

}  // namespace td
