// Full NAT: both addresses change, and the other one stands in another entry of the tunnel.
#include "../rewrite.h"
#include "check.h"
#include "packets.h"

using namespace packets;
using td::RewriteResult;

namespace {

const Bytes kData = {0x00, 0x02, 0x00, 0x07, 0x00, 0x01, 0xff, 0x03, 0x00, 0x21, 0x45};

/// Unless the frame is rewritten it stays as it was.
bool rewrites_to(Table& table, Bytes& frame, RewriteResult expected, bool partial = false) {
  const Bytes before(frame);
  uint8_t egress = 99;
  const RewriteResult result = td::rewrite(table.context(), {frame.data(), frame.size()}, 0, partial, &egress);
  if (result != RewriteResult::kRewritten) CHECK(frame == before && egress == 99);
  return result == expected;
}

}  // namespace

TEST(rewrite_both_addresses_client_to_server) {
  Table table;
  constexpr uint32_t kLocal = 0x0a0a0164;  // 10.10.1.100
  table.set(0, TD_FLAG_REWRITE_BOTH | TD_FLAG_REWRITE_PORTS | TD_FLAG_DECREMENT_TTL, 1, 1, (50000U << 16) | 1701,
            TD_TABLE_FORWARD, 2);
  table.other(3, 2, 0, 0, 0xffff, kLocal);
  table.word(2, TD_RECORD_ENTRY_ALIAS) = 4;
  for (const bool partial : {false, true}) {
    Shape s;
    Bytes frame = udp4(kData, {}, s);
    CHECK(rewrites_to(table, frame, RewriteResult::kRewritten, partial));
    CHECK_EQ(get32(&frame[26]), kLocal);
    CHECK_EQ(get32(&frame[30]), 0x0a0a0101U);
    CHECK_EQ(get16(&frame[s.l4]), 50000U);
    CHECK_EQ(get16(&frame[s.l4 + 2]), 1701U);
    CHECK(l3_valid(frame.data(), s) && l4_valid(frame.data(), s));
  }
  CHECK_EQ(table.counter(0, TD_ENTRY_PACKETS), 2U);
  CHECK_EQ(table.counter(3, TD_ENTRY_PACKETS), 0U);
}

TEST(rewrite_both_addresses_server_to_client) {
  Table table;
  table.set(0, TD_FLAG_REWRITE_BOTH | TD_FLAG_REWRITE_SOURCE | TD_FLAG_REWRITE_PORTS, 1, 1, (1701U << 16) | 4321,
            TD_TABLE_REVERSE, 1);
  table.other(2, 1, 0, 0, 0xffff, 0xc0800a05);
  // The request's entry says it as long as there is no other; then that one does.
  table.word(1, TD_RECORD_ENTRY_HALF_OPEN) = 3;
  for (const uint32_t word : {TD_RECORD_ENTRY_HALF_OPEN, TD_RECORD_ENTRY_FORWARD}) {
    if (word == TD_RECORD_ENTRY_FORWARD) {
      table.other(3, 1, 0, 0, 0xffff, 0xc0800a06);
      table.word(1, TD_RECORD_ENTRY_FORWARD) = 4;
    }
    Shape s;
    Udp u;
    u.source = 0x0a0a0102;
    u.destination = 0x0a0a0164;
    Bytes frame = udp4(kData, u, s);
    CHECK(rewrites_to(table, frame, RewriteResult::kRewritten));
    CHECK_EQ(get32(&frame[26]), 0x0a0a0101U);
    CHECK_EQ(get32(&frame[30]), word == TD_RECORD_ENTRY_FORWARD ? 0xc0800a06U : 0xc0800a05U);
    CHECK_EQ(get16(&frame[s.l4 + 2]), 4321U);
    CHECK(l3_valid(frame.data(), s) && l4_valid(frame.data(), s));
  }
}

TEST(rewrite_both_addresses_ipv6) {
  for (const uint32_t source : {0U, uint32_t{TD_FLAG_REWRITE_SOURCE}}) {
    Table table;
    table.set(0, TD_FLAG_REWRITE_BOTH | source, 2, 1, 0, TD_TABLE_FORWARD, 1);
    table.other(1, 1, 0x20010db8, 0xaa, 0xbb, 0xcc);
    table.word(1, source != 0 ? TD_RECORD_ENTRY_FORWARD : TD_RECORD_ENTRY_ALIAS) = 2;
    Shape s;
    Bytes frame = udp6(kData, {}, 17, s);
    CHECK(rewrites_to(table, frame, RewriteResult::kRewritten));
    const std::size_t other = source != 0 ? 38 : 22;
    CHECK_EQ(get32(&frame[other]), 0x20010db8U);
    CHECK_EQ(get32(&frame[other + 12]), 0xccU);
    CHECK_EQ(get32(&frame[source != 0 ? 22 : 38]), 0x20010db8U);
    CHECK(l4_valid(frame.data(), s));
  }
}

TEST(rewrite_both_addresses_needs_the_tunnels_other_entry) {
  Table table;
  Shape s;
  Bytes frame = udp4(kData, {}, s);
  table.set(0, TD_FLAG_REWRITE_BOTH, 1, 1, 0, TD_TABLE_FORWARD, 2);
  table.other(3, 2, 0, 0, 0xffff, 0x0a0a0164);
  CHECK(rewrites_to(table, frame, RewriteResult::kEntryChanged));  // the record names none
  table.word(2, TD_RECORD_ENTRY_ALIAS) = Table::kSlots + 1;
  CHECK(rewrites_to(table, frame, RewriteResult::kEntryChanged));
  table.word(2, TD_RECORD_ENTRY_ALIAS) = 4;
  table.entry(3)[TD_ENTRY_VERSION] = 1;  // being written
  CHECK(rewrites_to(table, frame, RewriteResult::kEntryChanged));
  table.entry(3)[TD_ENTRY_VERSION] = 2;
  table.other(3, 1, 0, 0, 0xffff, 0x0a0a0164);  // another tunnel's
  CHECK(rewrites_to(table, frame, RewriteResult::kEntryChanged));
  table.other(3, 2, 0x20010db8, 0, 0, 1);  // of the other family
  CHECK(rewrites_to(table, frame, RewriteResult::kFailed));
  table.set(0, TD_FLAG_REWRITE_BOTH, 1, 1, 0, TD_TABLE_FORWARD, Table::kRecords);
  CHECK(rewrites_to(table, frame, RewriteResult::kEntryChanged));
}
