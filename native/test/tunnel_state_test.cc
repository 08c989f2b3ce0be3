// What a worker keeps between packets: the hold, the ring of punts, datagrams that wait to be sent.
#include <unistd.h>

#include <string>
#include <vector>

#include "../hold_buffer.h"
#include "../punt_ring.h"
#include "../tunnel_devices.h"
#include "../udp_outbox.h"
#include "check.h"

using namespace td;

namespace {

constexpr uint32_t kLoopback[4] = {0, 0, 0xffff, 0x7f000001};

std::string receive(int fd) {
  char buffer[4096];
  const ssize_t length = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
  return length < 0 ? "" : std::string(buffer, static_cast<std::size_t>(length));
}

}  // namespace

TEST(a_hold_keeps_order_and_its_bounds) {
  HoldBuffer hold;
  const HoldLimits limits{3 * (10 + 64), 5 * (10 + 64), 100};
  const uint8_t bytes[10] = {};
  for (uint64_t i = 0; i < 5; i++) CHECK(hold.keep(1, 7, bytes, 10, i, limits) == (i < 3));
  CHECK(hold.keep(2, 1, bytes, 10, 5, limits));
  CHECK(hold.keep(2, 1, bytes, 10, 5, limits));
  CHECK(!hold.keep(3, 1, bytes, 10, 5, limits));  // the worker's bytes
  CHECK_EQ(hold.packets(), 5U);
  CHECK(!hold.keep(1, 8, bytes, 1, 5, limits));  // another session has the place now
  uint64_t dropped = 0;
  hold.each([&](uint32_t, HoldBuffer::Queue& queue) { dropped += hold.expire(queue, 102, limits); });
  CHECK_EQ(dropped, 2U);  // those of 0 and 1
  CHECK_EQ(hold.find(1)->packets.front().at, 2U);
  hold.each([&](uint32_t, HoldBuffer::Queue& queue) {
    while (!queue.packets.empty()) hold.pop(queue);
  });
  CHECK(hold.empty());
  CHECK_EQ(hold.bytes(), 0U);
}

TEST(a_ring_of_punts_refuses_what_does_not_fit) {
  std::vector<uint64_t> memory(TD_PUNT_STRIDE / 8);
  auto* bytes = reinterpret_cast<uint8_t*>(memory.data());
  auto* head = reinterpret_cast<uint32_t*>(bytes);
  PuntRing ring(bytes);
  const std::vector<uint8_t> message(1000, 0x55);
  const PuntRecord record{TD_PUNT_KIND_PPP, 41, 3U << 16 | 1701, kLoopback, message.data(), 2, message.data(), 998};
  uint32_t pushed = 0;
  while (ring.push(record, TD_PUNT_RING_LENGTH)) pushed++;
  CHECK_EQ(pushed, TD_PUNT_RING_LENGTH / 1032);
  CHECK(!ring.push(record, TD_PUNT_RING_LENGTH / 4));
  const auto* words = reinterpret_cast<const uint32_t*>(bytes + TD_PUNT_HEAD_LENGTH);
  CHECK_EQ(words[TD_PUNT_LENGTH], 1000U);
  CHECK_EQ(words[TD_PUNT_KIND], TD_PUNT_KIND_PPP << 24 | 42U);
  CHECK_EQ(words[TD_PUNT_PEER + 3], 0x7f000001U);
  head[TD_PUNT_RING_HEAD] = head[TD_PUNT_RING_TAIL];  // the main thread has read everything
  CHECK(ring.push(record, TD_PUNT_RING_LENGTH));
  const std::vector<uint8_t> huge(TD_PUNT_RING_LENGTH / 8 + 1);
  CHECK(!ring.push({TD_PUNT_KIND_CONTROL, -1, 0, nullptr, nullptr, 0, huge.data(), static_cast<uint32_t>(huge.size())},
                   TD_PUNT_RING_LENGTH));
}

TEST(an_outbox_sends_in_order_and_joins_what_is_alike) {
  const UdpGroup to = open_udp_group(kLoopback, 0, 1, false);
  const int off = 0;
  setsockopt(to.sockets[0].get(), IPPROTO_UDP, 104, &off, sizeof off);  // UDP_GRO: datagrams are looked at one by one
  const UdpGroup from = open_udp_group(kLoopback, 0, 1, false);
  UdpOutbox outbox(64, true);
  const std::vector<std::string> texts{"aaaa", "bbbb", "cc", "dddd", "eeeeee", "ffffff", "g"};
  for (const std::string& text : texts) {
    outbox.add(from.sockets[0].get(), kLoopback, to.port, reinterpret_cast<const uint8_t*>(text.data()),
               static_cast<uint32_t>(text.size()));
  }
  const UdpOutbox::Result result = outbox.flush();
  CHECK_EQ(result.sent, texts.size());
  CHECK_EQ(result.failed, 0U);
  for (const std::string& text : texts) CHECK(receive(to.sockets[0].get()) == text);
  CHECK(outbox.empty());
}

TEST(sockets_of_a_group_get_whole_sessions) {
  constexpr uint32_t kSockets = 3;
  const UdpGroup group = open_udp_group(kLoopback, 0, kSockets, false);
  const UdpGroup from = open_udp_group(kLoopback, 0, 1, false);
  uint32_t used = 0;
  for (uint8_t session = 1; session <= 40; session++) {
    uint32_t heard = 0;
    // The same ids with and without the length field.
    const uint8_t plain[] = {0, 2, 0, 7, 0, session, 0xc0};
    const uint8_t longer[] = {0x40, 2, 0, 9, 0, 7, 0, session, 0xc0};
    SocketAddress address = SocketAddress::of(kLoopback, group.port);
    sendto(from.sockets[0].get(), plain, sizeof plain, 0, &address.any, address.length);
    sendto(from.sockets[0].get(), longer, sizeof longer, 0, &address.any, address.length);
    for (uint32_t i = 0; i < kSockets; i++) {
      uint32_t here = 0;
      while (!receive(group.sockets[i].get()).empty()) here++;
      if (here != 0) {
        CHECK_EQ(here, 2U);
        used |= 1U << i;
        heard += here;
      }
    }
    CHECK_EQ(heard, 2U);
  }
  CHECK_EQ(used, (1U << kSockets) - 1);
}
