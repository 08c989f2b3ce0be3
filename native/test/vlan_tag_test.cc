#include "../vlan_tag.h"

#include <array>
#include <cstring>
#include <vector>

#include "check.h"

using namespace td;

namespace {

/// MACs, then `rest`.
std::vector<uint8_t> frame_of(const std::vector<uint8_t>& rest) {
  std::vector<uint8_t> frame{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};
  frame.insert(frame.end(), rest.begin(), rest.end());
  return frame;
}

}  // namespace

TEST(a_tag_is_taken_off_and_put_on_again) {
  auto frame = frame_of({0x81, 0x00, 0xa0, 0x64, 0x08, 0x00, 0x45});
  const auto before = frame;
  const VlanTag tag = strip_tag(frame.data(), frame.size());
  CHECK(tag.present);
  CHECK(!tag.service);
  CHECK_EQ(tag.vlan, 100);  // without priority
  const auto bare = frame_of({0x08, 0x00, 0x45});
  CHECK(std::memcmp(frame.data() + kTagLength, bare.data(), bare.size()) == 0);
  put_tag(frame.data(), 100);
  auto expected = before;
  expected[14] = 0;
  CHECK(frame == expected);
}

TEST(a_service_tag_is_told_apart) {
  auto frame = frame_of({0x88, 0xa8, 0x00, 0x64, 0x08, 0x00});
  const VlanTag tag = strip_tag(frame.data(), frame.size());
  CHECK(tag.present);
  CHECK(tag.service);
}

TEST(what_has_no_tag_stays) {
  for (const auto& rest : std::vector<std::vector<uint8_t>>{
           {0x08, 0x00, 0x45, 0, 0, 0}, {0x81, 0x00}, {0x81, 0x00, 0, 100}, {0x81, 0x00, 0, 100, 0x08}, {}}) {
    auto frame = frame_of(rest);
    const auto before = frame;
    CHECK(!strip_tag(frame.data(), frame.size()).present);
    CHECK(frame == before);
  }
}
