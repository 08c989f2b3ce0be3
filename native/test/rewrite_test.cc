#include "../rewrite.h"

#include <atomic>
#include <thread>

#include "check.h"
#include "packets.h"

using namespace packets;
using td::RewriteResult;

namespace {

const Bytes kData = {0x00, 0x02, 0x00, 0x07, 0x00, 0x01, 0xff, 0x03, 0x00, 0x21, 0x45};                  // no L
const Bytes kDataWithLength = {0x40, 0x02, 0x00, 0x0c, 0x00, 0x07, 0x00, 0x01, 0xff, 0x03, 0x00, 0x21};  // L

struct Outcome {
  RewriteResult result;
  uint8_t egress;
};

/// In a buffer of exactly the frame's length, so that the sanitizer sees every byte too far.
Outcome run(Table& table, Bytes& frame, uint32_t slot = 0, bool partial = false, uint32_t now = 100) {
  const Bytes exact(frame);
  auto* copy = new uint8_t[frame.size()];
  std::copy(exact.begin(), exact.end(), copy);
  uint8_t egress = 99;
  const RewriteResult result = td::rewrite(table.context(now), {copy, frame.size()}, slot, partial, &egress);
  std::copy(copy, copy + frame.size(), frame.begin());
  delete[] copy;
  if (result != RewriteResult::kRewritten) {
    CHECK(frame == exact);
    CHECK_EQ(egress, 99);
  }
  return {result, egress};
}

bool is(const Outcome& outcome, RewriteResult expected) { return outcome.result == expected; }

/// IPv6 extension header of 8 bytes.
Bytes extension(uint8_t next, uint8_t third = 0, uint8_t fourth = 0) { return {next, 0, third, fourth, 0, 0, 0, 0}; }

}  // namespace

TEST(rewrite_destination_ports_ttl_macs) {
  Table table;
  table.set(0, TD_FLAG_REWRITE_PORTS | TD_FLAG_DECREMENT_TTL, 1, 1, 1702);
  Shape s;
  Bytes frame = udp4(kData, {}, s);
  const Outcome outcome = run(table, frame);
  CHECK(is(outcome, RewriteResult::kRewritten));
  CHECK_EQ(outcome.egress, 1);
  CHECK_EQ(get32(&frame[0]), 0x02112233U);
  CHECK_EQ(get16(&frame[4]), 0x4455U);
  CHECK_EQ(get32(&frame[6]), 0x02000000U);
  CHECK_EQ(get16(&frame[10]), 0xbbU);
  CHECK_EQ(get32(&frame[26]), 0xc0800a05U);
  CHECK_EQ(get32(&frame[30]), 0x0a0a0101U);
  CHECK_EQ(frame[22], 63);
  CHECK_EQ(get16(&frame[s.l4]), 1701U);  // 0 in the entry leaves the source port
  CHECK_EQ(get16(&frame[s.l4 + 2]), 1702U);
  CHECK(l3_valid(frame.data(), s));
  CHECK(l4_valid(frame.data(), s));
  CHECK_EQ(table.counter(0, TD_ENTRY_PACKETS), 1U);
  CHECK_EQ(table.counter(0, TD_ENTRY_BYTES), frame.size() - 14);
  CHECK_EQ(table.entry(0)[TD_ENTRY_LAST_SEEN], 100U);
}

TEST(rewrite_source_and_source_port) {
  Table table;
  table.set(0, TD_FLAG_REWRITE_SOURCE | TD_FLAG_REWRITE_PORTS, 1, 1, 4000U << 16, TD_TABLE_REVERSE);
  Shape s;
  Bytes frame = udp4(kData, {}, s);
  CHECK(is(run(table, frame), RewriteResult::kRewritten));
  CHECK_EQ(get32(&frame[26]), 0x0a0a0101U);
  CHECK_EQ(get32(&frame[30]), 0xc8c86401U);
  CHECK_EQ(get16(&frame[s.l4]), 4000U);
  CHECK_EQ(get16(&frame[s.l4 + 2]), 1701U);
  CHECK_EQ(frame[22], 64);
  CHECK(l3_valid(frame.data(), s) && l4_valid(frame.data(), s));
}

TEST(rewrite_counts_beyond_32_bits_and_stamps_only_changes) {
  Table table;
  table.set(0, 0, 1, 1);
  const uint64_t before = 0xffffffff;
  std::memcpy(table.entry(0) + TD_ENTRY_PACKETS, &before, 8);
  Shape s;
  Bytes frame = udp4(kData, {}, s);
  CHECK(is(run(table, frame, 0, false, 7), RewriteResult::kRewritten));
  CHECK_EQ(table.counter(0, TD_ENTRY_PACKETS), 0x100000000U);
  CHECK_EQ(table.entry(0)[TD_ENTRY_LAST_SEEN], 7U);
}

TEST(rewrite_with_ip_options_and_ethernet_padding) {
  Table table;
  table.set(0, TD_FLAG_REWRITE_PORTS | TD_FLAG_DECREMENT_TTL, 1, 1, 1702);
  Shape s;
  Udp u;
  u.options = 12;
  Bytes frame = udp4(kData, u, s);
  const std::size_t length = frame.size();
  frame.resize(length + 9, 0xee);
  CHECK(is(run(table, frame), RewriteResult::kRewritten));
  CHECK(l3_valid(frame.data(), s) && l4_valid(frame.data(), s));
  for (std::size_t i = length; i < frame.size(); i++) CHECK_EQ(frame[i], 0xee);
  CHECK_EQ(table.counter(0, TD_ENTRY_BYTES), length - 14);
}

TEST(rewrite_udp_checksum_that_becomes_0_is_sent_as_ffff) {
  Table table;
  table.set(0, 0, 1, 1);
  Shape s;
  Bytes payload = {0, 2, 0, 7, 0, 1, 0, 0};
  // The payload's last word is chosen so that everything sums to 0xffff once the address is the new one.
  Bytes after = udp4(payload, {0xc0800a05, 0x0a0a0101}, s);
  put16(&after[s.checksum], 0);
  put16(&payload[6], 0xffff - plain_sum(&after[s.l4], s.end - s.l4, pseudo_sum(after.data(), s)));
  Bytes frame = udp4(payload, {}, s);
  CHECK(get16(&frame[s.checksum]) != 0);
  CHECK(is(run(table, frame), RewriteResult::kRewritten));
  CHECK_EQ(get16(&frame[s.checksum]), 0xffffU);
  CHECK(l4_valid(frame.data(), s));
}

TEST(rewrite_udp_checksum_0_stays_0) {
  Table table;
  table.set(0, TD_FLAG_REWRITE_PORTS | TD_FLAG_DECREMENT_TTL, 1, 1, 9);
  Shape s;
  Bytes frame = udp4(kData, {}, s);
  put16(&frame[s.checksum], 0);
  CHECK(is(run(table, frame), RewriteResult::kRewritten));
  CHECK_EQ(get16(&frame[s.checksum]), 0U);
  CHECK(l3_valid(frame.data(), s));
}

TEST(rewrite_partial_checksum_is_completed) {
  Table table;
  table.set(0, TD_FLAG_REWRITE_PORTS, 1, 1, 1702);
  for (std::size_t odd = 0; odd < 2; odd++) {
    Shape s;
    Bytes payload(kData);
    payload.resize(kData.size() + odd, 0x77);
    Bytes frame = udp4(payload, {}, s);
    put16(&frame[s.checksum], pseudo_sum(frame.data(), s));
    CHECK(is(run(table, frame, 0, true), RewriteResult::kRewritten));
    CHECK(l4_valid(frame.data(), s));
  }
}

TEST(rewrite_tcp) {
  Table table;
  table.set(0, TD_FLAG_REWRITE_PORTS, 1, 1, 80);
  Shape s;
  Bytes frame = udp4(Bytes(20, 3), {}, s);
  frame[23] = 6;
  s.protocol = 6;
  s.checksum = s.l4 + 16;
  set_l3(frame.data(), s);
  set_l4(frame.data(), s);
  CHECK(is(run(table, frame), RewriteResult::kRewritten));
  CHECK_EQ(get16(&frame[s.l4 + 2]), 80U);
  CHECK(l3_valid(frame.data(), s) && l4_valid(frame.data(), s));
  // A header of 19 bytes has no room for what stands in it.
  Bytes cut(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(s.l4) + 19);
  put16(&cut[16], static_cast<uint32_t>(cut.size() - 14));
  CHECK(is(run(table, cut), RewriteResult::kFailed));
}

TEST(rewrite_gre_changes_the_addresses_only) {
  Table table;
  table.set(0, 0, 1, 1);
  Shape s;
  Bytes frame = udp4(kData, {}, s);
  frame[23] = 47;
  set_l3(frame.data(), s);
  const Bytes before(frame);
  CHECK(is(run(table, frame), RewriteResult::kRewritten));
  CHECK(l3_valid(frame.data(), s));
  CHECK(std::equal(before.begin() + 34, before.end(), frame.begin() + 34));
  table.set(0, TD_FLAG_REWRITE_PORTS, 1, 1, 5);
  frame = before;
  CHECK(is(run(table, frame), RewriteResult::kFailed));
}

TEST(rewrite_ipv6_through_extension_headers) {
  const Bytes none;
  Bytes chain = extension(43);                // hop-by-hop, then
  const Bytes routing = extension(60, 0, 0);  // routing without segments left, then
  const Bytes destination = extension(17);    // destination options
  chain.insert(chain.end(), routing.begin(), routing.end());
  chain.insert(chain.end(), destination.begin(), destination.end());
  for (const Bytes& extensions : {none, chain}) {
    Table table;
    table.set(0, TD_FLAG_REWRITE_PORTS | TD_FLAG_DECREMENT_TTL, 2, 1, (5U << 16) | 6);
    Shape s;
    Bytes frame = udp6(kData, extensions, 0, s);
    CHECK(is(run(table, frame), RewriteResult::kRewritten));
    CHECK_EQ(get32(&frame[38]), 0x20010db8U);
    CHECK_EQ(get32(&frame[50]), 1U);
    CHECK_EQ(frame[21], 63);
    CHECK_EQ(get32(&frame[s.l4]), (5U << 16) | 6);
    CHECK(l4_valid(frame.data(), s));
    CHECK_EQ(table.counter(0, TD_ENTRY_BYTES), frame.size() - 14);
    table.set(0, TD_FLAG_REWRITE_SOURCE, 2, 1);
    CHECK(is(run(table, frame), RewriteResult::kRewritten));
    CHECK_EQ(get32(&frame[22]), 0x20010db8U);
    CHECK(l4_valid(frame.data(), s));
  }
}

TEST(rewrite_ipv6_headers_that_cannot_be_followed) {
  Table table;
  table.set(0, 0, 2, 1);
  Shape s;
  Bytes frame = udp6(kData, extension(17, 0, 1), 43, s);  // segments left
  CHECK(is(run(table, frame), RewriteResult::kFailed));
  Bytes nine;
  for (int i = 0; i < 9; i++) {
    const Bytes one = extension(i == 8 ? 17 : 60);
    nine.insert(nine.end(), one.begin(), one.end());
  }
  frame = udp6(kData, nine, 60, s);
  CHECK(is(run(table, frame), RewriteResult::kFailed));
  frame = udp6(kData, extension(17), 60, s);
  frame[55] = 200;  // its length goes beyond the packet
  CHECK(is(run(table, frame), RewriteResult::kFailed));
  frame = udp6(kData, {}, 0, s);
  put16(&frame[18], static_cast<uint32_t>(frame.size() - 53));
  CHECK(is(run(table, frame), RewriteResult::kFailed));
}

TEST(rewrite_fragments) {
  Table table;
  table.set(0, TD_FLAG_REWRITE_PORTS, 1, 1, 1702);
  Shape s;
  const Bytes whole = udp4(Bytes(64, 9), {}, s);
  // The first 24 bytes of the payload; the checksum and the UDP length are those of the whole datagram.
  Bytes first(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(s.l4) + 32);
  put16(&first[16], static_cast<uint32_t>(first.size() - 14));
  put16(&first[20], 0x2000);
  set_l3(first.data(), s);
  CHECK(is(run(table, first, 0, true), RewriteResult::kFailed));
  CHECK(is(run(table, first), RewriteResult::kRewritten));
  Bytes joined(whole);
  std::copy(first.begin() + 26, first.end(), joined.begin() + 26);
  CHECK(l4_valid(joined.data(), s));
  CHECK(l3_valid(first.data(), s));
  // A later one has no ports and no checksum: addresses change and nothing behind the IP header.
  Bytes later(first);
  put16(&later[20], 4);
  set_l3(later.data(), s);
  const Bytes before(later);
  CHECK(is(run(table, later), RewriteResult::kRewritten));
  CHECK(l3_valid(later.data(), s));
  CHECK(std::equal(later.begin() + 34, later.end(), before.begin() + 34));

  table.set(0, 0, 2, 1);
  Bytes frame = udp6(kData, extension(17, 0, 1), 44, s);
  CHECK(is(run(table, frame), RewriteResult::kRewritten));
  CHECK(l4_valid(frame.data(), s));
  frame = udp6(kData, extension(17, 0, 8), 44, s);
  const Bytes before6(frame);
  CHECK(is(run(table, frame), RewriteResult::kRewritten));
  CHECK(!std::equal(frame.begin() + 22, frame.begin() + 54, before6.begin() + 22));
  CHECK(std::equal(frame.begin() + 54, frame.end(), before6.begin() + 54));
}

TEST(rewrite_channel_with_and_without_length) {
  Table table;
  table.records[2 * TD_RECORD_WORDS + TD_RECORD_SERVER_CHANNEL] = 0x1234;
  table.records[2 * TD_RECORD_WORDS + TD_RECORD_VIRTUAL_CHANNEL] = 0x5678;
  for (const Bytes& payload : {kData, kDataWithLength}) {
    const std::size_t at = (payload[0] & 0x40) != 0 ? 4 : 2;
    for (const uint32_t kind : {TD_TABLE_FORWARD, TD_TABLE_REVERSE}) {
      table.set(0, TD_FLAG_REWRITE_CHANNEL, 1, 1, 0, kind, 2);
      Shape s;
      Bytes frame = udp4(payload, {}, s);
      CHECK(is(run(table, frame), RewriteResult::kRewritten));
      CHECK_EQ(get16(&frame[s.l4 + 8 + at]), kind == TD_TABLE_FORWARD ? 0x1234U : 0x5678U);
      CHECK(l4_valid(frame.data(), s));
    }
  }
}

TEST(rewrite_channel_where_there_is_none) {
  Table table;
  Shape s;
  table.set(0, TD_FLAG_REWRITE_CHANNEL, 1, 1, 0, TD_TABLE_FORWARD, 2);
  Bytes frame = udp4({0x40, 0x02, 0x00, 0x06, 0x00}, {}, s);  // ends inside the tunnel id
  CHECK(is(run(table, frame), RewriteResult::kFailed));
  frame = udp4({0x00, 0x03, 0x00, 0x07, 0x00, 0x01}, {}, s);  // L2TPv3
  CHECK(is(run(table, frame), RewriteResult::kFailed));
  frame = udp4({}, {}, s);
  CHECK(is(run(table, frame), RewriteResult::kFailed));
  table.set(0, TD_FLAG_REWRITE_CHANNEL, 1, 1, 0, TD_TABLE_FORWARD, Table::kRecords);
  frame = udp4(kData, {}, s);
  CHECK(is(run(table, frame), RewriteResult::kFailed));
  table.set(0, TD_FLAG_REWRITE_CHANNEL, 1, 1, 0, TD_TABLE_FORWARD, 2);
  table.entry(0)[TD_ENTRY_TAG] = (9U << 8) | TD_TABLE_FORWARD;  // a protocol whose channel nobody here can find
  CHECK(is(run(table, frame), RewriteResult::kFailed));
}

TEST(rewrite_outcomes_that_leave_everything_as_it_was) {
  Table table;
  Shape s;
  Bytes frame = udp4(kData, {}, s);
  table.set(0, TD_FLAG_DECREMENT_TTL, 1, 2);
  CHECK(is(run(table, frame), RewriteResult::kNeighbourUnresolved));
  table.set(0, TD_FLAG_DECREMENT_TTL, 1, 1);
  table.next_hops[TD_NEXT_HOP_WORDS] = 1;  // being written
  CHECK(is(run(table, frame), RewriteResult::kNeighbourUnresolved));
  table.next_hops[TD_NEXT_HOP_WORDS] = 2;
  table.entry(0)[TD_ENTRY_VERSION] = 3;
  CHECK(is(run(table, frame), RewriteResult::kEntryChanged));
  table.entry(0)[TD_ENTRY_VERSION] = 4;
  table.set(0, TD_FLAG_DENIED, 1, 1);
  CHECK(is(run(table, frame), RewriteResult::kEntryChanged));
  table.set(0, 0, 3, 1);  // a free address
  CHECK(is(run(table, frame), RewriteResult::kFailed));
  table.set(0, 0, 2, 1);  // of the other family
  CHECK(is(run(table, frame), RewriteResult::kFailed));
  table.set(0, 0, TD_ADDRESS_LIMIT, 1);
  CHECK(is(run(table, frame), RewriteResult::kFailed));
  table.set(0, 0, 1, 1);
  table.hop(1, 1, 1, 2, TD_NEXT_HOP_STATE_RESOLVED);  // a port that is not there
  CHECK(is(run(table, frame), RewriteResult::kFailed));
  CHECK(is(run(table, frame, Table::kSlots), RewriteResult::kFailed));
  table.hop(1, 1, 1, 0, TD_NEXT_HOP_STATE_RESOLVED);
  for (const uint8_t ttl : {0, 1}) {
    Udp u;
    u.ttl = ttl;
    Bytes old = udp4(kData, u, s);
    table.set(0, TD_FLAG_DECREMENT_TTL, 1, 1);
    CHECK(is(run(table, old), RewriteResult::kTtlExpired));
  }
  CHECK_EQ(table.counter(0, TD_ENTRY_PACKETS), 0U);
  CHECK_EQ(table.entry(0)[TD_ENTRY_LAST_SEEN], 0U);
}

TEST(rewrite_frames_that_lie_about_their_lengths) {
  Table table;
  table.set(0, 0, 1, 1);
  Shape s;
  const Bytes good = udp4(kData, {}, s);
  struct {
    std::size_t at;
    uint8_t value;
  } const lies[] = {{12, 0x81}, {14, 0x55}, {14, 0x44}, {14, 0x4f}, {16, 0xff}, {17, 10}, {38, 0xff}, {39, 7}};
  for (const auto& lie : lies) {
    Bytes frame(good);
    frame[lie.at] = lie.value;
    CHECK(is(run(table, frame), RewriteResult::kFailed));
  }
  for (std::size_t length = 0; length < good.size(); length++) {
    Bytes frame(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length));
    CHECK(is(run(table, frame), RewriteResult::kFailed));
  }
}

TEST(rewrite_never_mixes_two_states_of_an_entry) {
  // The port stands in the entry and the channel in the record, that is in another cache line; the writer changes both
  // under the entry's version, so every frame must have them alike.
  Table table;
  table.set(0, TD_FLAG_REWRITE_PORTS | TD_FLAG_REWRITE_CHANNEL, 1, 1, 1, TD_TABLE_FORWARD, 1);
  uint32_t* channel = &table.records[TD_RECORD_WORDS + TD_RECORD_SERVER_CHANNEL];
  *channel = 1;
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    uint32_t* entry = table.entry(0);
    const auto store = [](uint32_t* word, uint32_t value) { std::atomic_ref<uint32_t>(*word).store(value); };
    for (uint32_t round = 1; !stop.load(std::memory_order_relaxed); round++) {
      const uint32_t value = 1 + round % 0xfff0;
      const uint32_t version = entry[TD_ENTRY_VERSION];
      store(entry + TD_ENTRY_VERSION, version + 1);
      store(entry + TD_ENTRY_PORTS, value);
      store(channel, value);
      store(entry + TD_ENTRY_VERSION, version + 2);
    }
  });
  Shape s;
  const Bytes good = udp4(kData, {}, s);
  for (int i = 0; i < 50000; i++) {
    Bytes frame(good);
    uint8_t egress = 0;
    const RewriteResult result = td::rewrite(table.context(), frame, 0, false, &egress);
    if (result == RewriteResult::kEntryChanged) continue;
    CHECK(result == RewriteResult::kRewritten);
    CHECK_EQ(get16(&frame[s.l4 + 10]), get16(&frame[s.l4 + 2]));
  }
  stop = true;
  writer.join();
}

TEST(rewrite_batch_outcomes_columns_and_counters) {
  Table table;
  table.set(0, TD_FLAG_DECREMENT_TTL, 1, 1);
  table.set(1, 0, 1, 2);
  table.entry(2)[TD_ENTRY_VERSION] = 1;
  Shape s;
  const Bytes good = udp4(kData, {}, s);
  Udp expired;
  expired.ttl = 1;
  Bytes frames(good);
  const Bytes dying = udp4(kData, expired, s);
  frames.insert(frames.end(), dying.begin(), dying.end());
  frames.insert(frames.end(), good.begin(), good.end());
  const auto length = static_cast<int32_t>(good.size());
  std::vector<int32_t> offset(TD_COLUMN_LENGTH), lengths(TD_COLUMN_LENGTH), verdict(TD_COLUMN_LENGTH, TD_VERDICT_PASS);
  std::vector<uint8_t> ingress(TD_COLUMN_LENGTH), egress(TD_COLUMN_LENGTH, 99), flags(TD_COLUMN_LENGTH);
  struct {
    int32_t offset, length, verdict, expected;
  } const rows[] = {
      {0, length, 0, TD_VERDICT_RAW},
      {length, length, 0, TD_VERDICT_DROP},   // TTL
      {0, length, 1, TD_VERDICT_DROP},        // neighbour
      {0, length, 2, TD_VERDICT_DROP},        // being written
      {0, length, 3, TD_VERDICT_DROP},        // an empty slot: address 0 is free
      {0, length, 1000000, TD_VERDICT_DROP},  // no such slot
      {-1, length, 0, TD_VERDICT_DROP},       // outside of the frames …
      {0, -1, 0, TD_VERDICT_DROP},
      {2 * length + 1, length, 0, TD_VERDICT_DROP},
      {0x7fffffff, 0x7fffffff, 0, TD_VERDICT_DROP},
      {0, length, TD_VERDICT_PASS, TD_VERDICT_PASS},
      {0, length, TD_VERDICT_HANDED, TD_VERDICT_HANDED},
      {0, length, TD_VERDICT_RAW, TD_VERDICT_RAW},
      {2 * length, length, 0, TD_VERDICT_RAW},  // the last byte of the frames
  };
  const std::size_t count = std::size(rows);
  for (std::size_t i = 0; i < count; i++) {
    offset[i] = rows[i].offset;
    lengths[i] = rows[i].length;
    verdict[i] = rows[i].verdict;
  }
  verdict[count] = 0;  // behind the batch: not to be touched
  double statistics[9] = {};
  td::Counters counters{statistics, 0, 1, 2, 3, 4, 5, 6, 7, 8};
  const td::Columns columns{offset.data(), lengths.data(), ingress.data(), egress.data(), flags.data(), verdict.data()};
  td::rewrite_batch(table.context(), frames, columns, counters, 0, static_cast<uint32_t>(count));
  for (std::size_t i = 0; i < count; i++) CHECK_EQ(verdict[i], rows[i].expected);
  CHECK_EQ(verdict[count], 0);
  CHECK_EQ(egress[0], 1);
  CHECK_EQ(egress[1], 99);
  const double expected[9] = {1, 1, 1, 6};
  for (std::size_t i = 0; i < 9; i++) CHECK_EQ(statistics[i], expected[i]);
  // Counts beyond the columns end at the columns.
  td::rewrite_batch(table.context(), frames, columns, counters, TD_COLUMN_LENGTH - 2, 0xffffffff);
  td::rewrite_batch(table.context(), frames, columns, counters, 0xffffffff, 5);
}
