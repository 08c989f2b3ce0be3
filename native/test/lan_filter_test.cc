#include "../lan_filter.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "check.h"

using namespace td;

namespace {

constexpr uint16_t kPort = 3222;
using Frame = std::vector<uint8_t>;

/// The kernel's own interpreter: a filter on a pair of local sockets sees what is sent as if it were a frame.
class Kernel {
 public:
  explicit Kernel(const std::vector<sock_filter>& program) {
    CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends_.data()), 0);
    std::vector<sock_filter> copy = program;
    const sock_fprog order{static_cast<unsigned short>(copy.size()), copy.data()};
    CHECK_EQ(setsockopt(ends_[1], SOL_SOCKET, SO_ATTACH_FILTER, &order, sizeof order), 0);
  }
  ~Kernel() {
    close(ends_[0]);
    close(ends_[1]);
  }
  bool passes(const Frame& frame) const {
    (void)!send(ends_[0], frame.data(), frame.size(), 0);
    std::array<uint8_t, 2048> buffer;
    return recv(ends_[1], buffer.data(), buffer.size(), 0) >= 0;
  }

 private:
  std::array<int, 2> ends_{};
};

Frame frame_of(uint16_t type, std::size_t length = 86) {
  Frame frame(length);
  frame[12] = static_cast<uint8_t>(type >> 8);
  frame[13] = static_cast<uint8_t>(type);
  return frame;
}

void put(Frame& frame, std::size_t at, uint32_t word) {
  for (std::size_t i = 0; i < 4; i++) frame[at + i] = static_cast<uint8_t>(word >> (24 - 8 * i));
}

Frame arp(uint32_t sender, uint32_t target) {
  Frame frame = frame_of(0x0806, 60);
  put(frame, 28, sender);
  put(frame, 38, target);
  return frame;
}

Frame icmpv6(uint8_t type, uint32_t source, uint32_t target) {
  Frame frame = frame_of(0x86dd);
  frame[20] = 58;
  frame[54] = type;
  put(frame, 34, source);
  put(frame, 74, target);
  return frame;
}

constexpr uint32_t kShared = 0x0a0700fe, kOther = 0x0a070001, kShared6 = 0x000700fe;
const std::vector<uint32_t> kWords = {0, 0, 0xffff, kShared, 0xfe800000, 0, 0, kShared6};

}  // namespace

TEST(arp_about_a_shared_address_passes_and_no_other) {
  const Kernel kernel(lan_filter(kWords, 0));
  CHECK(kernel.passes(arp(kOther, kShared)));
  CHECK(kernel.passes(arp(kShared, kOther)));
  CHECK(!kernel.passes(arp(kOther, kOther)));
  Frame cut = arp(kOther, kShared);
  cut.resize(41);
  CHECK(!kernel.passes(cut));
}

TEST(neighbour_discovery_about_a_shared_address_and_router_solicitations_pass) {
  const Kernel kernel(lan_filter(kWords, 0));
  for (const uint8_t type : {135, 136}) {
    CHECK(kernel.passes(icmpv6(type, 1, kShared6)));
    CHECK(kernel.passes(icmpv6(type, kShared6, 1)));
    CHECK(!kernel.passes(icmpv6(type, 1, 1)));
  }
  CHECK(kernel.passes(icmpv6(133, 1, 1)));
  CHECK(!kernel.passes(icmpv6(128, 1, kShared6)));
  Frame udp = icmpv6(135, 1, kShared6);
  udp[20] = 17;
  CHECK(!kernel.passes(udp));
  // A group of IPv4 alone has nothing to advertise.
  const Kernel v4(lan_filter(std::span(kWords).first(4), 0));
  CHECK(!v4.passes(icmpv6(133, 1, 1)));
  CHECK(!v4.passes(icmpv6(135, 1, kShared6)));
}

TEST(messages_pass_and_other_types_do_not) {
  const Kernel kernel(lan_filter(kWords, 0));
  CHECK(kernel.passes(frame_of(0x88b5)));
  CHECK(!kernel.passes(frame_of(0x88b6)));
  CHECK(!kernel.passes(frame_of(0x0800)));
  CHECK(!kernel.passes(Frame(10)));
}

TEST(udp_to_the_port_passes_behind_options_too_and_no_fragment_does) {
  const Kernel kernel(lan_filter(kWords, kPort));
  Frame frame = frame_of(0x0800);
  frame[14] = 0x46;  // six words
  frame[23] = 17;
  frame[14 + 24 + 2] = kPort >> 8;
  frame[14 + 24 + 3] = kPort & 0xff;
  CHECK(kernel.passes(frame));
  frame[14] = 0x45;
  CHECK(!kernel.passes(frame));
  frame[14] = 0x46;
  frame[21] = 1;
  CHECK(!kernel.passes(frame));
  frame[21] = 0;
  frame[23] = 6;
  CHECK(!kernel.passes(frame));
  Frame v6 = frame_of(0x86dd);
  v6[20] = 17;
  v6[56] = kPort >> 8;
  v6[57] = kPort & 0xff;
  CHECK(kernel.passes(v6));
  CHECK(!Kernel(lan_filter(kWords, 0)).passes(v6));
  v6[57]++;
  CHECK(!kernel.passes(v6));
  CHECK(kernel.passes(arp(kOther, kShared)));
  CHECK(kernel.passes(icmpv6(135, 1, kShared6)));
}

TEST(the_largest_number_of_addresses_fits_and_more_are_left_out) {
  for (const bool mapped : {true, false}) {
    std::vector<uint32_t> words;
    for (uint32_t i = 0; i < kLanAddressLimit + 1; i++) {
      words.insert(words.end(), {mapped ? 0 : 0xfe800000, 0, mapped ? 0xffffu : 0, 1000 + i});
    }
    const Kernel kernel(lan_filter(words, kPort));
    for (uint32_t i = 0; i < kLanAddressLimit; i++) {
      CHECK(kernel.passes(mapped ? arp(1000 + i, 1) : icmpv6(136, 1000 + i, 1)));
      CHECK(kernel.passes(mapped ? arp(1, 1000 + i) : icmpv6(136, 1, 1000 + i)));
    }
    CHECK(!kernel.passes(mapped ? arp(1, 1000 + kLanAddressLimit) : icmpv6(136, 1, 1000 + kLanAddressLimit)));
    CHECK(!kernel.passes(mapped ? arp(1, 1) : icmpv6(136, 1, 1)));
  }
}
