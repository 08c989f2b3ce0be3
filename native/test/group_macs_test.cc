#include "../group_macs.h"

#include <array>

#include "check.h"

using namespace td;

namespace {

struct Words {
  std::array<uint32_t, TD_XDP_WORDS> words{};
  void begin(uint32_t group, uint32_t high, uint32_t low) {
    words[group + TD_GROUP_MAC_HIGH] = high;
    words[group + TD_GROUP_MAC_LOW] = low;
  }
  void hold(uint32_t group, uint32_t number) { words[group + TD_GROUP_HELD + (number >> 5)] |= 1U << (number & 31); }
  [[nodiscard]] bool held(uint8_t fifth, uint8_t number) const {
    const std::array<uint8_t, 6> mac{0x02, 0x54, 0x44, 0x00, fifth, number};
    return is_held(words.data(), mac.data());
  }
};

}  // namespace

TEST(without_groups_no_address_is_held) {
  const Words w;
  CHECK(!w.held(7, 1));
  const std::array<uint8_t, 6> zero{};
  CHECK(!is_held(w.words.data(), zero.data()));
  CHECK(!is_held(nullptr, zero.data()));
}

TEST(held_is_what_its_bit_says_on_either_side) {
  Words w;
  w.begin(TD_GROUP_OUTSIDE, 0x02544400, 7);
  w.begin(TD_GROUP_INSIDE, 0x02544400, 8);
  w.hold(TD_GROUP_OUTSIDE, 1);
  w.hold(TD_GROUP_INSIDE, 255);
  for (uint32_t number = 0; number <= 255; number++) {
    CHECK(w.held(7, static_cast<uint8_t>(number)) == (number == 1));
    CHECK(w.held(8, static_cast<uint8_t>(number)) == (number == 255));
    CHECK(!w.held(9, static_cast<uint8_t>(number)));
  }
}

TEST(another_prefix_is_another_station) {
  Words w;
  w.begin(TD_GROUP_OUTSIDE, 0x02544400, 7);
  for (uint32_t number = 0; number <= 255; number++) w.hold(TD_GROUP_OUTSIDE, number);
  CHECK(w.held(7, 9));
  for (std::size_t byte = 0; byte < 5; byte++) {
    std::array<uint8_t, 6> mac{0x02, 0x54, 0x44, 0x00, 7, 9};
    mac[byte] ^= 1;
    CHECK(!is_held(w.words.data(), mac.data()));
  }
}
