#include "../checksum.h"

#include <random>

#include "check.h"
#include "packets.h"

using namespace td;

TEST(checksum_sum_agrees_with_the_plain_one_at_every_length) {
  std::mt19937 random(1);
  packets::Bytes bytes(300);
  for (int round = 0; round < 20; round++) {
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(round < 2 ? (round == 0 ? 0 : 0xff) : random());
    for (std::size_t length = 0; length <= bytes.size(); length++) {
      CHECK_EQ(sum_bytes(bytes.data(), length) % 0xffff, packets::plain_sum(bytes.data(), length) % 0xffff);
    }
  }
}

TEST(checksum_fold_brings_every_carry_back) {
  CHECK_EQ(fold(0), 0);
  CHECK_EQ(fold(0xffff), 0xffff);
  CHECK_EQ(fold(0x10000), 1);
  CHECK_EQ(fold(0x1fffe), 0xffff);
  CHECK_EQ(fold(0xffffffff), 0xffff);
  CHECK_EQ(fold(0xffffffffffffffff), 0xffff);
  CHECK_EQ(fold(0x00000001fffeffff), 0xffff);
}

TEST(checksum_change_follows_the_example_of_rfc_1624) {
  // §4: a header whose checksum is 0xdd2f and whose word 0x5555 becomes 0x3285 sums to 0x0000, not to RFC 1141's
  // 0xffff.
  ChecksumChange change;
  change.word(0x5555, 0x3285);
  CHECK_EQ(change.apply(0xdd2f), 0x0000);
}

TEST(checksum_change_keeps_a_right_checksum_right) {
  std::mt19937 random(2);
  for (int round = 0; round < 100000; round++) {
    uint8_t words[8];
    for (uint8_t& byte : words) byte = static_cast<uint8_t>(random() % 4 == 0 ? 0xff : random());
    words[0] |= 1;  // as in every real packet the sum is not of zeroes only
    const auto checksum = static_cast<uint16_t>(0xffff - packets::plain_sum(words, 8));
    const std::size_t at = (1 + random() % 3) * 2;
    const auto after = static_cast<uint16_t>(random() % 3 == 0 ? 0 : random());
    ChecksumChange change;
    change.word(load16(words + at), after);
    store16(words + at, after);
    uint8_t sum[2];
    store16(sum, change.apply(checksum));
    CHECK_EQ(packets::plain_sum(sum, 2, packets::plain_sum(words, 8)), 0xffffU);
  }
}

TEST(loads_and_stores_are_in_network_order) {
  uint8_t bytes[4] = {};
  store32(bytes, 0x0a0b0c0d);
  CHECK_EQ(bytes[0], 0x0a);
  CHECK_EQ(bytes[3], 0x0d);
  CHECK_EQ(load32(bytes), 0x0a0b0c0dU);
  CHECK_EQ(load16(bytes + 1), 0x0b0c);
}
