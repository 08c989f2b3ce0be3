#include "../ip_answers.h"

#include <vector>

#include "../checksum.h"
#include "check.h"

using namespace td;
using Bytes = std::vector<uint8_t>;

namespace {

/// IPv4 of `length` bytes, header of `words` words, from 10.0.0.1 to 10.0.0.2.
Bytes ipv4(uint32_t length, uint8_t protocol, uint32_t words = 5) {
  Bytes packet(length);
  for (uint32_t i = 0; i < length; i++) packet[i] = static_cast<uint8_t>(i * 7);
  packet[0] = static_cast<uint8_t>(0x40 | words);
  store16(&packet[2], length);
  store16(&packet[6], 0);
  packet[9] = protocol;
  store32(&packet[12], 0x0a000001);
  store32(&packet[16], 0x0a000002);
  store16(&packet[10], 0);
  store16(&packet[10], static_cast<uint16_t>(~sum_bytes(packet.data(), words * 4)));
  return packet;
}

uint64_t pseudo(const Bytes& packet, uint32_t length) {
  return packet[0] >> 4 == 4 ? sum_bytes(&packet[12], 8) + uint64_t{6} + length
                             : sum_bytes(&packet[8], 32) + uint64_t{6} + length;
}

/// A SYN with these options, its checksum right.
Bytes syn(bool v6, const Bytes& options) {
  const uint32_t header = v6 ? 40 : 20;
  const auto tcp_length = static_cast<uint32_t>(20 + options.size());
  Bytes packet = ipv4(header + tcp_length, 6);
  if (v6) {
    packet[0] = 0x60;
    store16(&packet[4], tcp_length);
    packet[6] = 6;
  }
  uint8_t* tcp = &packet[header];
  tcp[12] = static_cast<uint8_t>(tcp_length / 4 << 4);
  tcp[13] = 2;
  std::copy(options.begin(), options.end(), tcp + 20);
  store16(tcp + 16, 0);
  store16(tcp + 16, static_cast<uint16_t>(~fold(pseudo(packet, tcp_length) + sum_bytes(tcp, tcp_length))));
  return packet;
}

bool tcp_right(const Bytes& packet) {
  const uint32_t header = packet[0] >> 4 == 4 ? 20 : 40;
  const auto length = static_cast<uint32_t>(packet.size()) - header;
  return fold(pseudo(packet, length) + sum_bytes(&packet[header], length)) == 0xffff;
}

}  // namespace

TEST(lengths_of_packets_are_checked) {
  Bytes packet = ipv4(60, 17);
  CHECK_EQ(checked_ipv4(packet.data(), 64), 60U);  // padding is not the packet's
  CHECK_EQ(checked_ipv4(packet.data(), 59), 0U);
  CHECK_EQ(checked_ipv4(packet.data(), 19), 0U);
  packet[0] = 0x44;
  CHECK_EQ(checked_ipv4(packet.data(), 60), 0U);
  packet[0] = 0x65;
  CHECK_EQ(checked_ipv4(packet.data(), 60), 0U);
  packet[0] = 0x60;
  store16(&packet[4], 20);
  CHECK_EQ(checked_ipv6(packet.data(), 60), 60U);
  CHECK_EQ(checked_ipv6(packet.data(), 59), 0U);
  CHECK_EQ(checked_ipv6(packet.data(), 39), 0U);
}

TEST(the_mss_is_lowered_wherever_the_option_stands) {
  for (const bool v6 : {false, true}) {
    for (const Bytes& before : std::vector<Bytes>{{}, {1}, {1, 1}, {1, 1, 1}, {3, 3, 7}}) {
      Bytes options = before;
      options.insert(options.end(), {2, 4, 0x05, 0xb4});
      while (options.size() % 4 != 0) options.push_back(1);
      Bytes packet = syn(v6, options);
      clamp_mss(packet.data(), static_cast<uint32_t>(packet.size()), 1300);
      const uint32_t at = (v6 ? 60U : 40U) + static_cast<uint32_t>(before.size()) + 2;
      CHECK_EQ(load16(&packet[at]), 1300);
      CHECK(tcp_right(packet));
    }
  }
}

TEST(the_mss_is_left_alone_where_it_is_low_or_there_is_none) {
  for (const Bytes& options :
       std::vector<Bytes>{{2, 4, 4, 0}, {2, 9, 1, 1}, {2, 1, 1, 1}, {0, 2, 4, 0xff}, {2, 3, 1, 1}, {}}) {
    Bytes packet = syn(false, options);
    const Bytes before = packet;
    clamp_mss(packet.data(), static_cast<uint32_t>(packet.size()), 1300);
    CHECK(packet == before);
  }
}

TEST(too_big_is_told_to_the_source) {
  const Bytes packet = ipv4(1400, 17);
  uint8_t answer[kAnswerRoom];
  const uint32_t length = make_too_big(packet.data(), 1400, 1280, answer);
  CHECK_EQ(length, 576U);
  CHECK_EQ(checked_ipv4(answer, length), length);
  CHECK_EQ(sum_bytes(answer, 20), 0xffff);
  CHECK_EQ(sum_bytes(answer + 20, length - 20), 0xffff);
  CHECK_EQ(load32(answer + 16), 0x0a000001U);
  CHECK_EQ(load16(answer + 26), 1280);
  Bytes six(1400);
  six[0] = 0x60;
  store16(&six[4], 1360);
  six[6] = 17;
  six[23] = 1;
  const uint32_t longer = make_too_big(six.data(), 1400, 1280, answer);
  CHECK_EQ(longer, kAnswerRoom);
  CHECK_EQ(answer[39], 1);
  CHECK_EQ(fold(sum_bytes(answer + 8, 32) + uint64_t{longer - 40} + 58 + sum_bytes(answer + 40, longer - 40)), 0xffff);
}

TEST(errors_are_not_answered_with_errors) {
  uint8_t answer[kAnswerRoom];
  Bytes packet = ipv4(1400, 1);
  packet[20] = 3;
  CHECK_EQ(make_too_big(packet.data(), 1400, 1280, answer), 0U);
  packet[20] = 8;
  CHECK_EQ(make_too_big(packet.data(), 1400, 1280, answer), 576U);
  store16(&packet[6], 100);  // a later fragment
  CHECK_EQ(make_too_big(packet.data(), 1400, 1280, answer), 0U);
  store16(&packet[6], 0);
  packet[12] = 224;
  CHECK_EQ(make_too_big(packet.data(), 1400, 1280, answer), 0U);
}

TEST(fragments_make_the_whole_again) {
  for (const uint32_t words : {5U, 7U}) {
    Bytes packet = ipv4(3000, 17, words);
    // An option that goes into every fragment, and one that does not.
    if (words == 7) {
      const Bytes options{0x88, 4, 0, 0, 0x44, 4, 5, 0};
      std::copy(options.begin(), options.end(), packet.begin() + 20);
    }
    store16(&packet[6], 0x2000 | 50);  // a fragment itself, and not the last
    Bytes whole(3000 - words * 4);
    uint32_t count = 0;
    fragment_ipv4(packet.data(), 3000, 576,
                  [&](const uint8_t* head, uint32_t head_length, const uint8_t* data, uint32_t length) {
                    CHECK_EQ(head_length, words * 4);
                    CHECK(head_length + length <= 576);
                    CHECK_EQ(sum_bytes(head, head_length), 0xffff);
                    CHECK_EQ(load16(head + 2), head_length + length);
                    CHECK((load16(head + 6) & 0x2000) != 0);
                    const uint32_t at = ((load16(head + 6) & 0x1fffU) - 50) * 8;
                    CHECK(at + length <= whole.size());
                    std::copy(data, data + length, whole.begin() + at);
                    if (words == 7) {
                      CHECK_EQ(head[20], 0x88);
                      CHECK_EQ(head[24], count == 0 ? 0x44 : 1);
                    }
                    count++;
                  });
    CHECK(count >= 6);
    CHECK(std::equal(whole.begin(), whole.end(), packet.begin() + words * 4));
  }
}
