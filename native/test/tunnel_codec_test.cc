#include "../tunnel_codec.h"

#include <vector>

#include "check.h"

using namespace td;
using Bytes = std::vector<uint8_t>;

namespace {

L2tpParse parsed(const Bytes& bytes, L2tpData& data) {
  return parse_l2tp(bytes.data(), static_cast<uint32_t>(bytes.size()), data);
}

bool ppp(const Bytes& bytes, PppFrame& frame) {
  return parse_ppp(bytes.data(), static_cast<uint32_t>(bytes.size()), frame);
}

}  // namespace

TEST(a_data_message_is_read_in_every_form) {
  L2tpData data{};
  CHECK(parsed({0, 2, 0, 7, 0, 9, 0xc0}, data) == L2tpParse::kData);
  CHECK_EQ(data.ids, 0x00070009U);
  CHECK_EQ(data.length, 1U);
  CHECK(!data.sequenced);
  const Bytes full{0x4a, 2, 0, 18, 0, 7, 0, 9, 0x12, 0x34, 0, 0, 0, 2, 0xaa, 0xbb, 0xc0, 0x21, 99};
  CHECK(parsed(full, data) == L2tpParse::kData);
  CHECK(data.sequenced);
  CHECK_EQ(data.ns, 0x1234);
  CHECK_EQ(data.length, 2U);  // neither the offset nor the padding
  CHECK_EQ(data.payload[0], 0xc0);
}

TEST(what_is_no_data_message_is_told_apart) {
  L2tpData data{};
  CHECK(parsed({0xc8, 2, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0}, data) == L2tpParse::kControl);
  CHECK(parsed({0xc8, 2, 0, 12, 0, 0, 0, 0, 0, 0, 0}, data) == L2tpParse::kMalformed);
  CHECK(parsed({0, 3, 0, 7, 0, 9, 1}, data) == L2tpParse::kVersion);
  CHECK(parsed({}, data) == L2tpParse::kMalformed);
  CHECK(parsed({0, 2, 0, 7, 0, 9}, data) == L2tpParse::kMalformed);               // no payload
  CHECK(parsed({0x40, 2, 0, 10, 0, 7, 0, 9, 1}, data) == L2tpParse::kMalformed);  // longer than it is
  CHECK(parsed({0x40, 2, 0, 3, 0, 7, 0, 9, 1}, data) == L2tpParse::kMalformed);   // shorter than its header
  CHECK(parsed({2, 2, 0, 7, 0, 9, 0xff, 0xff, 1}, data) == L2tpParse::kMalformed);
}

TEST(ppp_headers_are_read_compressed_or_not) {
  PppFrame frame{};
  const std::vector<Bytes> forms{{0xff, 3, 0, 0x21, 9}, {0xff, 3, 0x21, 9}, {0, 0x21, 9}, {0x21, 9}};
  for (const Bytes& bytes : forms) {
    CHECK(ppp(bytes, frame));
    CHECK_EQ(frame.protocol, kPppIpv4);
    CHECK_EQ(frame.length, 1U);
    CHECK_EQ(frame.body[0], 9);
  }
  CHECK(frame.compressed);
  CHECK(!ppp({0xff, 3}, frame));
  CHECK(!ppp({0, 0x20}, frame));
  CHECK(!ppp({}, frame));
  CHECK(ppp({0xc0, 0x21}, frame));
  CHECK(is_ppp_control(frame.protocol));
  CHECK(!is_ppp_control(kPppIpv6));
}

TEST(what_is_written_is_read_again) {
  for (uint32_t form_bits = 0; form_bits < 8; form_bits++) {
    Bytes room(kEncapsulationLimit + 5, 0xee);
    uint8_t* frame = room.data() + kEncapsulationLimit;
    store16(frame, kPppIpv6);
    const L2tpForm form{0xabcd1234, (form_bits & 1) != 0, (form_bits & 2) != 0, (form_bits & 4) != 0, 0x8001};
    const uint8_t* start = put_l2tp(frame, 5, form);
    const auto length = static_cast<uint32_t>(room.data() + room.size() - start);
    L2tpData data{};
    PppFrame read{};
    CHECK(parse_l2tp(start, length, data) == L2tpParse::kData);
    CHECK_EQ(data.ids, 0xabcd1234U);
    CHECK(data.sequenced == form.sequenced);
    if (form.sequenced) CHECK_EQ(data.ns, 0x8001);
    CHECK(parse_ppp(data.payload, data.length, read));
    CHECK_EQ(read.protocol, kPppIpv6);
    CHECK_EQ(read.length, 3U);
    CHECK(start >= room.data());
  }
}
