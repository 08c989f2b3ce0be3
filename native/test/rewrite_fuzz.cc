// libFuzzer: any frame by any entry. Whatever comes in, nothing outside of the frame and the table is touched; a frame
// that is refused stays as it was; a frame that is rewritten differs in the fields that were to be rewritten and
// nowhere else, holds what the entry says, and has right checksums if it had right ones before.
#include <cstdlib>
#include <memory>

#include "../rewrite.h"
#include "packets.h"

using namespace packets;

namespace {

#define MUST(condition) \
  if (!(condition)) __builtin_trap()

/// Takes bytes from the input, zeroes when it is used up.
struct Input {
  const uint8_t* at;
  std::size_t left;
  uint32_t byte() {
    if (left == 0) return 0;
    left--;
    return *at++;
  }
  uint32_t word() { return (byte() << 8) | byte(); }
};

enum Mode : uint32_t {
  kV6 = 1,
  kRepair = 2,
  kPartial = 4,
  kPadded = 8,
  kZeroChecksum = 16,
  kSetL2tp = 32,
  kPoke = 64,  // two bytes of the repaired frame are set to anything
  kCut = 128,  // its end is cut off
};

/// Makes an arbitrary frame one whose lengths and checksums are right, so that more than its header is reached.
void repair(Bytes& frame, uint32_t mode, uint32_t protocol) {
  const bool v6 = (mode & kV6) != 0;
  const std::size_t padding = (mode & kPadded) != 0 ? 3 : 0;
  if (frame.size() < 14 + 60 + 20 + padding) return;
  const std::size_t end = frame.size() - padding;
  Shape s;
  s.v6 = v6;
  s.protocol = static_cast<uint8_t>(protocol);
  s.end = end;
  put16(&frame[12], v6 ? 0x86dd : 0x0800);
  if (v6) {
    frame[14] = static_cast<uint8_t>(0x60 | (frame[14] & 15));
    put16(&frame[18], static_cast<uint32_t>(end - 54));
    frame[20] = s.protocol;
    s.l4 = 54;
  } else {
    const uint32_t words = (frame[14] & 15) < 5 ? 5U : frame[14] & 15U;
    frame[14] = static_cast<uint8_t>(0x40 | words);
    put16(&frame[16], static_cast<uint32_t>(end - 14));
    put16(&frame[20], get16(&frame[20]) & 0xc000);
    frame[23] = s.protocol;
    s.l4 = 14 + words * 4;
  }
  if (protocol == 17) {
    s.checksum = s.l4 + 6;
    put16(&frame[s.l4 + 4], static_cast<uint32_t>(end - s.l4));
    if ((mode & kSetL2tp) != 0) frame[s.l4 + 9] = static_cast<uint8_t>((frame[s.l4 + 9] & 0xf0) | 2);
  } else if (protocol == 6) {
    s.checksum = s.l4 + 16;
  } else if (protocol == 58 && v6) {
    s.checksum = s.l4 + 2;
  }
  set_l3(frame.data(), s);
  if (s.checksum == 0) return;
  set_l4(frame.data(), s);
  if ((mode & kZeroChecksum) != 0) put16(&frame[s.checksum], 0);
}

/// What a rewritten frame must have been, found independently of the core. A fragment that is not the first is `later`:
/// it has neither ports nor a checksum.
Shape shape_of(const Bytes& frame, bool& fragment, bool& later) {
  Shape s;
  fragment = later = false;
  s.v6 = get16(&frame[12]) == 0x86dd;
  std::size_t ip_end = 0;
  if (s.v6) {
    ip_end = 54 + get16(&frame[18]);
    s.protocol = frame[20];
    s.l4 = 54;
    while (s.protocol == 0 || s.protocol == 43 || s.protocol == 44 || s.protocol == 60) {
      if (s.protocol == 44) {
        fragment = (frame[s.l4 + 3] & 1) != 0;
        later = (get16(&frame[s.l4 + 2]) & 0xfff8) != 0;
        s.protocol = frame[s.l4];
        s.l4 += 8;
        if (later) break;
      } else {
        const std::size_t length = (frame[s.l4 + 1] + 1U) * 8;
        s.protocol = frame[s.l4];
        s.l4 += length;
      }
    }
  } else {
    ip_end = 14 + get16(&frame[16]);
    s.protocol = frame[23];
    s.l4 = 14 + (frame[14] & 15U) * 4;
    fragment = (frame[20] & 0x20) != 0;
    later = (get16(&frame[20]) & 0x1fff) != 0;
  }
  s.end = ip_end;
  MUST(s.l4 <= ip_end && ip_end <= frame.size());
  if (later) return s;
  if (s.protocol == 17) {
    s.checksum = s.l4 + 6;
    if (!fragment) s.end = s.l4 + get16(&frame[s.l4 + 4]);
  } else if (s.protocol == 6) {
    s.checksum = s.l4 + 16;
  } else if (s.protocol == 58 && s.v6) {
    s.checksum = s.l4 + 2;
  }
  return s;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  static const auto table = std::make_unique<Table>();
  Input in{data, size};
  const uint32_t mode = in.byte();
  static const uint8_t kProtocols[] = {17, 17, 17, 6, 58, 47, 50, 1};
  const uint32_t protocol = kProtocols[in.byte() % std::size(kProtocols)];
  const uint32_t flags = in.byte();
  const uint32_t odd = in.byte();
  uint32_t address = in.byte() % 4;
  if (address == 3) address = in.word();
  const uint32_t hop = in.byte() % 4 == 0 ? in.word() : 1;
  const uint32_t ports = (in.word() << 16) | in.word();
  const uint32_t kind = 1 + in.byte() % 4;
  const uint32_t record = in.byte() % 8;
  const uint32_t slot = in.byte() % 8 == 0 ? in.word() : 0;
  table->set(0, flags, address, hop, ports, kind, record);
  if (odd % 16 == 1) table->entry(0)[TD_ENTRY_TAG] ^= in.word();
  table->entry(0)[TD_ENTRY_VERSION] = odd % 16 == 2 ? 1 : 2;
  table->entry(0)[TD_ENTRY_LAST_SEEN] = odd;
  for (uint32_t i = 0; i < Table::kRecords; i++) {
    table->records[i * TD_RECORD_WORDS + TD_RECORD_SERVER_CHANNEL] = 0x1100 + i;
    table->records[i * TD_RECORD_WORDS + TD_RECORD_VIRTUAL_CHANNEL] = 0x2200 + i;
  }
  // Entries that full NAT may find the other address in: of this record or not, of either family, or none at all.
  const uint32_t others = in.byte();
  table->other(1, others % 5 == 1 ? 9 : record, 0, 0, 0xffff, 0x0a0a0a0a);
  table->other(2, record, 0x20010db8, 1, 2, 3);
  table->entry(1)[TD_ENTRY_VERSION] = others % 5 == 2 ? 1 : 2;
  for (uint32_t i = 0; i < Table::kRecords; i++) {
    table->word(i, TD_RECORD_ENTRY_ALIAS) = others >> 6;
    table->word(i, TD_RECORD_ENTRY_FORWARD) = others >> 4 & 3;
    table->word(i, TD_RECORD_ENTRY_HALF_OPEN) = others >> 2 & 3;
  }
  table->hop(1, 0x02112233, 0x4455, odd % 16 == 3 ? in.byte() : 1, TD_NEXT_HOP_STATE_RESOLVED);

  const uint32_t pokes[4] = {in.byte(), in.byte(), in.byte(), in.byte()};
  const std::size_t cut = in.byte();

  Bytes before(in.at, in.at + in.left);
  if ((mode & kRepair) != 0) repair(before, mode, protocol);
  if ((mode & kPoke) != 0 && !before.empty()) {
    before[pokes[0] % before.size()] = static_cast<uint8_t>(pokes[1]);
    before[pokes[2] % before.size()] = static_cast<uint8_t>(pokes[3]);
  }
  if ((mode & kCut) != 0) before.resize(before.size() - std::min(cut, before.size()));
  const uint64_t packets = table->counter(0, TD_ENTRY_PACKETS);
  const uint64_t bytes = table->counter(0, TD_ENTRY_BYTES);
  const bool partial = (mode & kPartial) != 0;

  // Exactly as long as the frame, so that the sanitizer sees one byte too far.
  const std::unique_ptr<uint8_t[]> exact(new uint8_t[before.size()]);
  std::copy(before.begin(), before.end(), exact.get());
  uint8_t egress = 99;
  const td::RewriteResult result = td::rewrite(table->context(), {exact.get(), before.size()}, slot, partial, &egress);
  const Bytes after(exact.get(), exact.get() + before.size());

  if (result != td::RewriteResult::kRewritten) {
    MUST(after == before && egress == 99);
    MUST(table->counter(0, TD_ENTRY_PACKETS) == packets && table->counter(0, TD_ENTRY_BYTES) == bytes);
    MUST(table->entry(0)[TD_ENTRY_LAST_SEEN] == odd);
    return 0;
  }
  MUST(slot == 0 && egress < 2 && (flags & TD_FLAG_DENIED) == 0);
  bool fragment = false;
  bool later = false;
  const Shape s = shape_of(before, fragment, later);
  const bool source = (flags & TD_FLAG_REWRITE_SOURCE) != 0;
  const bool decrements = (flags & TD_FLAG_DECREMENT_TTL) != 0;

  // The frame as it should be: field by field, checksums taken over.
  Bytes expected(before);
  put32(&expected[0], 0x02112233);
  put16(&expected[4], 0x4455);
  if (hop != 1) std::copy_n(after.begin(), 6, expected.begin());
  std::copy_n(table->ports[egress].mac, 6, expected.begin() + 6);
  const uint32_t* words = &table->addresses[address * TD_ADDRESS_WORDS];
  if (s.v6) {
    for (std::size_t w = 0; w < 4; w++) put32(&expected[(source ? 22 : 38) + w * 4], words[w]);
    expected[21] = static_cast<uint8_t>(before[21] - (decrements ? 1 : 0));
  } else {
    put32(&expected[source ? 26 : 30], words[3]);
    expected[22] = static_cast<uint8_t>(before[22] - (decrements ? 1 : 0));
    std::copy_n(after.begin() + 24, 2, expected.begin() + 24);
  }
  if ((flags & TD_FLAG_REWRITE_BOTH) != 0) {
    uint32_t found = table->word(record, TD_RECORD_ENTRY_ALIAS);
    if (source) found = table->word(record, TD_RECORD_ENTRY_FORWARD);
    if (source && found == 0) found = table->word(record, TD_RECORD_ENTRY_HALF_OPEN);
    // Entry 0 is the one that is rewritten by: a record may name it, which nobody but a fuzzer writes.
    MUST(found != 0 && table->entry(found - 1)[TD_ENTRY_RECORD] >> 8 == record);
    const uint32_t* client = table->entry(found - 1) + TD_ENTRY_CLIENT;
    if (s.v6) {
      for (std::size_t w = 0; w < 4; w++) put32(&expected[(source ? 38 : 22) + w * 4], client[w]);
    } else {
      put32(&expected[source ? 30 : 26], client[3]);
    }
  }
  if (!later && (flags & TD_FLAG_REWRITE_PORTS) != 0) {
    if (ports >> 16 != 0) put16(&expected[s.l4], ports >> 16);
    if ((ports & 0xffff) != 0) put16(&expected[s.l4 + 2], ports);
  }
  if (!later && (flags & TD_FLAG_REWRITE_CHANNEL) != 0) {
    const std::size_t at = s.l4 + 8 + ((before[s.l4 + 8] & 0x40) != 0 ? 4 : 2);
    const bool reverse = (table->entry(0)[TD_ENTRY_TAG] & 0xff) == TD_TABLE_REVERSE;
    put16(&expected[at], (reverse ? 0x2200 : 0x1100) + record);
  }
  if (s.checksum != 0)
    std::copy_n(after.begin() + static_cast<std::ptrdiff_t>(s.checksum), 2,
                expected.begin() + static_cast<std::ptrdiff_t>(s.checksum));
  MUST(after == expected);

  if (l3_valid(before.data(), s)) MUST(l3_valid(after.data(), s));
  if (s.checksum != 0) {
    const uint32_t old = get16(&before[s.checksum]);
    const bool none = s.protocol == 17 && old == 0 && !partial;
    if (none) MUST(get16(&after[s.checksum]) == 0);
    if (s.protocol == 17 && !none) MUST(get16(&after[s.checksum]) != 0);
    if (partial) MUST(!fragment && l4_valid(after.data(), s));
    if (!none && !fragment && l4_valid(before.data(), s)) MUST(l4_valid(after.data(), s));
  }
  const std::size_t length = s.v6 ? 40 + get16(&before[18]) : get16(&before[16]);
  MUST(table->counter(0, TD_ENTRY_PACKETS) == packets + 1 && table->counter(0, TD_ENTRY_BYTES) == bytes + length);
  MUST(table->entry(0)[TD_ENTRY_LAST_SEEN] == 100);
  return 0;
}
