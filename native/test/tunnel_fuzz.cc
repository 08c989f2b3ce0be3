// libFuzzer: any datagram through everything that reads it: the L2TP and PPP headers, the IP packet in it, and what is
// made of that. Nothing outside of the datagram is read, nothing outside of the answers is written.
#include <memory>
#include <vector>

#include "../ip_answers.h"
#include "../tunnel_codec.h"

#define MUST(condition) \
  if (!(condition)) __builtin_trap()

using namespace td;

namespace {

constexpr uint32_t kMtu = 576;
constexpr uint16_t kMss = 1300;

void packet(uint8_t* bytes, uint32_t length) {
  const uint32_t four = checked_ipv4(bytes, length);
  const uint32_t whole = four != 0 ? four : checked_ipv6(bytes, length);
  if (whole == 0) return;
  MUST(whole <= length);
  clamp_mss(bytes, whole, kMss);
  uint8_t answer[kAnswerRoom];
  const uint32_t answered = make_too_big(bytes, whole, kMtu, answer);
  MUST(answered <= kAnswerRoom);
  if (answered != 0) MUST((four != 0 ? checked_ipv4(answer, answered) : checked_ipv6(answer, answered)) == answered);
  if (four == 0 || whole <= kMtu) return;
  uint32_t sum = 0;
  fragment_ipv4(bytes, whole, kMtu, [&](const uint8_t* head, uint32_t head_length, const uint8_t*, uint32_t part) {
    MUST(head_length + part <= kMtu);
    MUST(sum_bytes(head, head_length) == 0xffff);
    sum += part;
  });
  MUST(sum == whole - (bytes[0] & 15U) * 4);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, std::size_t size) {
  if (size > 65535) return 0;
  // Memory of just this length, so that the sanitizer sees every step beyond it.
  const auto bytes = std::make_unique<uint8_t[]>(size == 0 ? 1 : size);
  std::copy(input, input + size, bytes.get());
  L2tpData data{};
  if (parse_l2tp(bytes.get(), static_cast<uint32_t>(size), data) != L2tpParse::kData) return 0;
  MUST(data.length > 0 && data.payload + data.length <= bytes.get() + size);
  PppFrame frame{};
  if (!parse_ppp(data.payload, data.length, frame)) return 0;
  MUST(frame.body + frame.length == data.payload + data.length);
  // Written again with the same numbers, it says the same.
  std::vector<uint8_t> room(kEncapsulationLimit + 2 + frame.length);
  uint8_t* again = room.data() + kEncapsulationLimit;
  store16(again, frame.protocol);
  std::copy(frame.body, frame.body + frame.length, again + 2);
  const L2tpForm form{data.ids, (input[0] & 0x40) != 0, data.sequenced, (input[1] & 0x80) != 0, data.ns};
  const uint8_t* start = put_l2tp(again, frame.length + 2, form);
  MUST(start >= room.data());
  L2tpData second{};
  MUST(parse_l2tp(start, static_cast<uint32_t>(room.data() + room.size() - start), second) == L2tpParse::kData ||
       frame.length + 32 > 65535);
  MUST(second.ids == data.ids && second.ns == data.ns);
  packet(const_cast<uint8_t*>(frame.body), frame.length);
  return 0;
}
