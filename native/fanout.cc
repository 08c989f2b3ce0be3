#include "fanout.h"

namespace td {
namespace {

constexpr uint32_t kNet = static_cast<uint32_t>(SKF_NET_OFF);
constexpr uint32_t kOwnerMultiplier = 0x9e3779b1;    // src/flow/hash.ts, ownerSlot
constexpr uint32_t kSessionMultiplier = 0x85ebca6b;  // any odd number that spreads ids
constexpr uint32_t kOwnerSlots = 1024;
constexpr uint32_t kIpsecPort = 4500;
constexpr uint32_t kUdpLength = 8;
constexpr uint32_t kShortLength = 6;  // of the shortest L2TPv2 header

/// Assembles with labels: jumps are written by name and resolved at the end.
class Assembler {
 public:
  void op(uint16_t code, uint32_t k) { code_.push_back({code, 0, 0, k}); }
  /// Conditional jump: to `yes` or `no`; −1 falls through.
  void jump(uint16_t test, uint32_t k, int yes, int no) {
    fixes_.push_back({code_.size(), yes, no});
    code_.push_back({static_cast<uint16_t>(BPF_JMP | test | BPF_K), 0, 0, k});
  }
  void go(int label) {
    fixes_.push_back({code_.size(), label, -2});
    code_.push_back({BPF_JMP | BPF_JA, 0, 0, 0});
  }
  void label(int name) {
    if (labels_.size() <= static_cast<std::size_t>(name)) labels_.resize(static_cast<std::size_t>(name) + 1);
    labels_[static_cast<std::size_t>(name)] = code_.size();
  }
  std::vector<sock_filter> finish() {
    for (const Fix& fix : fixes_) {
      const std::size_t next = fix.at + 1;
      auto distance = [&](int name) {
        return name < 0 ? 0U : static_cast<uint32_t>(labels_[static_cast<std::size_t>(name)] - next);
      };
      if (fix.no == -2) {
        code_[fix.at].k = distance(fix.yes);
      } else {
        code_[fix.at].jt = static_cast<uint8_t>(distance(fix.yes));
        code_[fix.at].jf = static_cast<uint8_t>(distance(fix.no));
      }
    }
    return code_;
  }

 private:
  struct Fix {
    std::size_t at;
    int yes, no;
  };
  std::vector<sock_filter> code_;
  std::vector<Fix> fixes_;
  std::vector<std::size_t> labels_;
};

enum Label { kV4, kV6, kUdp, kMix, kLong, kHash, kNothing };

}  // namespace

std::vector<sock_filter> fanout_program(FanoutRole role, uint32_t shards) {
  const bool source = role != FanoutRole::kInside;
  Assembler a;
  a.op(BPF_LD | BPF_B | BPF_ABS, kNet);
  a.op(BPF_ALU | BPF_RSH | BPF_K, 4);
  a.jump(BPF_JEQ, 4, kV4, -1);
  a.jump(BPF_JEQ, 6, kV6, kNothing);

  a.label(kV4);
  a.op(BPF_LD | BPF_W | BPF_ABS, kNet + (source ? 12 : 16));
  a.op(BPF_ALU | BPF_XOR | BPF_K, 0xffff);  // the mapped prefix 0:0:ffff
  a.op(BPF_ST, 0);
  a.op(BPF_LD | BPF_B | BPF_ABS, kNet + 9);
  a.jump(BPF_JEQ, 17, -1, kHash);
  a.op(BPF_LD | BPF_H | BPF_ABS, kNet + 6);
  a.jump(BPF_JSET, 0x3fff, kHash, -1);  // fragments by address only
  a.op(BPF_LDX | BPF_B | BPF_MSH, kNet);
  a.go(kUdp);

  a.label(kV6);
  a.op(BPF_LD | BPF_W | BPF_ABS, kNet + (source ? 8 : 24));
  for (uint32_t w = 1; w < 4; w++) {
    a.op(BPF_MISC | BPF_TAX, 0);
    a.op(BPF_LD | BPF_W | BPF_ABS, kNet + (source ? 8 : 24) + w * 4);
    a.op(BPF_ALU | BPF_XOR | BPF_X, 0);
  }
  a.op(BPF_ST, 0);
  a.op(BPF_LD | BPF_B | BPF_ABS, kNet + 6);
  a.jump(BPF_JEQ, 17, -1, kHash);
  a.op(BPF_LDX | BPF_IMM, 40);

  a.label(kUdp);  // X: length of the IP header
  // ESP in UDP (RFC 3948) begins with an SPI, which may well look like a version 2 with ids that change with each
  // packet.
  a.op(BPF_LD | BPF_H | BPF_IND, kNet);
  a.jump(BPF_JEQ, kIpsecPort, kHash, -1);
  a.op(BPF_LD | BPF_H | BPF_IND, kNet + 2);
  a.jump(BPF_JEQ, kIpsecPort, kHash, -1);
  a.op(BPF_LD | BPF_H | BPF_IND, kNet + 4);
  a.jump(BPF_JGE, kUdpLength + kShortLength, -1, kHash);
  a.op(BPF_LD | BPF_H | BPF_IND, kNet + kUdpLength);
  a.op(BPF_ALU | BPF_AND | BPF_K, 0xc00f);  // T, L and version (RFC 2661 §3.1)
  a.jump(BPF_JEQ, 0x4002, kLong, -1);
  a.jump(BPF_JEQ, 0x0002, -1, kHash);  // not data of version 2: to the owner
  a.op(BPF_LD | BPF_W | BPF_IND, kNet + kUdpLength + 2);
  a.go(kMix);
  a.label(kLong);
  a.op(BPF_LD | BPF_W | BPF_IND, kNet + kUdpLength + 4);
  a.label(kMix);  // A: tunnel id and session id
  a.op(BPF_ALU | BPF_MUL | BPF_K, kSessionMultiplier);
  a.op(BPF_MISC | BPF_TAX, 0);
  a.op(BPF_LD | BPF_MEM, 0);
  a.op(BPF_ALU | BPF_XOR | BPF_X, 0);
  a.op(BPF_ST, 0);

  a.label(kHash);
  a.op(BPF_LD | BPF_MEM, 0);
  a.op(BPF_ALU | BPF_MUL | BPF_K, kOwnerMultiplier);
  a.op(BPF_MISC | BPF_TAX, 0);
  a.op(BPF_ALU | BPF_RSH | BPF_K, 16);
  a.op(BPF_ALU | BPF_XOR | BPF_X, 0);
  a.op(BPF_ALU | BPF_AND | BPF_K, kOwnerSlots - 1);
  a.op(BPF_ALU | BPF_MOD | BPF_K, shards == 0 ? 1 : shards);
  a.op(BPF_RET | BPF_A, 0);
  a.label(kNothing);
  a.op(BPF_RET | BPF_K, 0);
  return a.finish();
}

}  // namespace td
