#include "lan_filter.h"

#include <linux/if_ether.h>

namespace td {
namespace {

constexpr uint32_t kMessages = 0x88b5;  // IEEE 802 local experimental EtherType 1
constexpr uint32_t kMapped = 0xffff;
constexpr uint32_t kIcmpv6 = 58, kUdp = 17;
constexpr uint32_t kRouterSolicitation = 133, kNeighbourSolicitation = 135, kNeighbourAdvertisement = 136;
// From the beginning of the frame (RFC 826; RFC 791 §3.1; RFC 768; RFC 8200 §3; RFC 4861 §4.3).
constexpr uint32_t kEtherType = 12, kArpSender = 28, kArpTarget = 38;
constexpr uint32_t kIpv4Header = 14, kIpv4Fragment = 20, kIpv4Protocol = 23, kUdpDestination = 2;
constexpr uint32_t kNextHeader = 20, kSourceEnd = 34, kType = 54, kTargetEnd = 74, kIpv6Udp = 54;

/// Instructions with names for where they jump to; only forward, as classic BPF wants it.
class Program {
 public:
  enum Label : std::size_t { kNext, kAccept, kDrop, kArp, kIpv4, kIpv6, kUdp6, kUntagged, kTarget, kLabels };

  void op(uint32_t code, uint32_t k) { steps_.push_back({code, k, kNext, kNext}); }
  void load(uint32_t size, uint32_t at) { op(BPF_LD | size | BPF_ABS, at); }
  /// Goes to `yes` when the accumulator is `k`, else to `no`.
  void equal(uint32_t k, Label yes, Label no = kNext) { steps_.push_back({BPF_JMP | BPF_JEQ | BPF_K, k, yes, no}); }
  /// Drops the frame when one of `bits` is set.
  void clear(uint32_t bits) { steps_.push_back({BPF_JMP | BPF_JSET | BPF_K, bits, kDrop, kNext}); }
  void place(Label label) { places_[label] = steps_.size(); }

  std::vector<sock_filter> finish() {
    place(kAccept);
    op(BPF_RET | BPF_K, 0xffffffff);
    place(kDrop);
    op(BPF_RET | BPF_K, 0);
    std::vector<sock_filter> program;
    for (std::size_t i = 0; i < steps_.size(); i++) {
      const Step& step = steps_[i];
      program.push_back({static_cast<uint16_t>(step.code), distance(i, step.yes), distance(i, step.no), step.k});
    }
    return program;
  }

 private:
  struct Step {
    uint32_t code, k;
    Label yes, no;
  };
  [[nodiscard]] uint8_t distance(std::size_t from, Label to) const {
    return to == kNext ? 0 : static_cast<uint8_t>(places_[to] - from - 1);
  }

  std::vector<Step> steps_;
  std::size_t places_[kLabels] = {};
};

}  // namespace

std::vector<sock_filter> lan_filter(std::span<const uint32_t> words, uint16_t udp_port) {
  std::vector<uint32_t> v4, v6;
  for (std::size_t i = 0; i + 4 <= words.size() && i / 4 < kLanAddressLimit; i += 4) {
    const bool mapped = words[i] == 0 && words[i + 1] == 0 && words[i + 2] == kMapped;
    (mapped ? v4 : v6).push_back(words[i + 3]);
  }
  Program program;
  // The kernel has taken a tag out of the frame before any socket sees it.
  program.load(BPF_W, static_cast<uint32_t>(SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT));
  program.equal(0, Program::kUntagged);
  program.load(BPF_W, static_cast<uint32_t>(SKF_AD_OFF + SKF_AD_VLAN_TAG));
  program.op(BPF_ALU | BPF_AND | BPF_K, 0xfff);
  program.equal(0, Program::kUntagged, Program::kDrop);
  program.place(Program::kUntagged);
  program.load(BPF_H, kEtherType);
  program.equal(kMessages, Program::kAccept);
  program.equal(ETH_P_ARP, Program::kArp);
  if (udp_port != 0) program.equal(ETH_P_IP, Program::kIpv4);
  program.equal(ETH_P_IPV6, Program::kIpv6, Program::kDrop);
  program.place(Program::kArp);
  // A frame that ends before what is loaded is dropped: a load beyond the end returns 0.
  program.load(BPF_W, kArpTarget);
  for (const uint32_t address : v4) program.equal(address, Program::kAccept);
  program.load(BPF_W, kArpSender);
  for (const uint32_t address : v4) program.equal(address, Program::kAccept);
  program.op(BPF_RET | BPF_K, 0);
  program.place(Program::kIpv4);
  if (udp_port != 0) {
    program.load(BPF_B, kIpv4Protocol);
    program.equal(kUdp, Program::kNext, Program::kDrop);
    program.load(BPF_H, kIpv4Fragment);
    program.clear(0x1fff);
    program.op(BPF_LDX | BPF_B | BPF_MSH, kIpv4Header);  // the header's length
    program.op(BPF_LD | BPF_H | BPF_IND, kIpv4Header + kUdpDestination);
    program.equal(udp_port, Program::kAccept, Program::kDrop);
  }
  program.place(Program::kIpv6);
  program.load(BPF_B, kNextHeader);
  if (udp_port != 0) program.equal(kUdp, Program::kUdp6);
  program.equal(kIcmpv6, Program::kNext, Program::kDrop);
  program.load(BPF_B, kType);
  program.equal(kRouterSolicitation, v6.empty() ? Program::kDrop : Program::kAccept);
  program.equal(kNeighbourSolicitation, Program::kTarget);
  program.equal(kNeighbourAdvertisement, Program::kTarget, Program::kDrop);
  program.place(Program::kTarget);
  program.load(BPF_W, kTargetEnd);
  for (const uint32_t word : v6) program.equal(word, Program::kAccept);
  program.load(BPF_W, kSourceEnd);
  for (const uint32_t word : v6) program.equal(word, Program::kAccept);
  program.op(BPF_RET | BPF_K, 0);
  program.place(Program::kUdp6);
  if (udp_port != 0) {
    program.load(BPF_H, kIpv6Udp + kUdpDestination);
    program.equal(udp_port, Program::kAccept, Program::kDrop);
  }
  return program.finish();
}

}  // namespace td
