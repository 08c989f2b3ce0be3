#include "tunnel_devices.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstring>

#include "udp_outbox.h"

#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef PACKET_FANOUT_FLAG_UNIQUEID
#define PACKET_FANOUT_FLAG_UNIQUEID 0x2000
#endif

namespace td {
namespace {

constexpr int kSocketBuffer = 8 << 20;
/// Packets that wait for a worker, for each queue; 500 would be the kernel's choice, two milliseconds of them.
constexpr int kTunQueue = 4096;
constexpr uint32_t kIdMultiplier = 0x85ebca6b;

void buffers(int fd) noexcept {
  for (const int which : {SO_RCVBUFFORCE, SO_SNDBUFFORCE}) {
    if (setsockopt(fd, SOL_SOCKET, which, &kSocketBuffer, sizeof kSocketBuffer) == 0) continue;
    const int plain = which == SO_RCVBUFFORCE ? SO_RCVBUF : SO_SNDBUF;
    setsockopt(fd, SOL_SOCKET, plain, &kSocketBuffer, sizeof kSocketBuffer);
  }
}

void set_link(const std::string& name, uint32_t mtu) {
  const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) throw SystemError{"socket for " + name, errno};
  ifreq request{};
  std::memcpy(request.ifr_name, name.data(), name.size());
  request.ifr_mtu = static_cast<int>(mtu);
  if (ioctl(fd.get(), SIOCSIFMTU, &request) != 0) throw SystemError{"MTU of " + name, errno};
  request.ifr_qlen = kTunQueue;
  if (ioctl(fd.get(), SIOCSIFTXQLEN, &request) != 0) throw SystemError{"queue length of " + name, errno};
  if (ioctl(fd.get(), SIOCGIFFLAGS, &request) != 0) throw SystemError{"flags of " + name, errno};
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (ioctl(fd.get(), SIOCSIFFLAGS, &request) != 0) throw SystemError{"bringing up " + name, errno};
}

void attach(int fd, int option, std::vector<sock_filter> program, const std::string& what) {
  const sock_fprog order{static_cast<unsigned short>(program.size()), program.data()};
  if (setsockopt(fd, SOL_SOCKET, option, &order, sizeof order) != 0) throw SystemError{what, errno};
}

/// Which socket of a group: data by tunnel and session id, control by tunnel id (RFC 2661 §3.1).
std::vector<sock_filter> steering(uint32_t count) {
  const auto op = [](uint32_t code, uint32_t k) { return sock_filter{static_cast<uint16_t>(code), 0, 0, k}; };
  const auto jump = [](uint32_t bit, uint8_t yes, uint8_t no) {
    return sock_filter{BPF_JMP | BPF_JSET | BPF_K, yes, no, bit};
  };
  return {
      op(BPF_LD | BPF_H | BPF_ABS, 0),
      jump(0x8000, 3, 0),
      jump(0x4000, 0, 4),
      op(BPF_LD | BPF_W | BPF_ABS, 4),  // data with a length
      op(BPF_JMP | BPF_JA, 3),
      op(BPF_LD | BPF_H | BPF_ABS, 4),  // control
      op(BPF_JMP | BPF_JA, 1),
      op(BPF_LD | BPF_W | BPF_ABS, 2),  // data
      op(BPF_ALU | BPF_MUL | BPF_K, kIdMultiplier),
      op(BPF_ALU | BPF_RSH | BPF_K, 16),
      op(BPF_ALU | BPF_MOD | BPF_K, count),
      op(BPF_RET | BPF_A, 0),
  };
}

/// Which queue of a TUN device: by the destination address, for IPv6 by its network, so that a subscriber's packets
/// stay in order (TUNSETSTEERINGEBPF). The kernel's own choice is by flow, from what it has seen going the other way.
UniqueFd queue_program(uint32_t count) {
  const auto op = [](int code, uint8_t to, uint8_t from, int16_t offset, uint32_t value) {
    bpf_insn insn{};
    insn.code = static_cast<uint8_t>(code);
    insn.dst_reg = to & 15;
    insn.src_reg = from & 15;
    insn.off = offset;
    insn.imm = static_cast<int32_t>(value);
    return insn;
  };
  // BPF_LD | BPF_ABS reads into r0 from the packet that r6 stands for, and ends the program with 0 beyond its end.
  const bpf_insn program[] = {
      op(BPF_ALU64 | BPF_MOV | BPF_X, 6, 1, 0, 0),
      op(BPF_LD | BPF_ABS | BPF_B, 0, 0, 0, 0),
      op(BPF_ALU64 | BPF_RSH | BPF_K, 0, 0, 0, 4),
      op(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 2, 6),
      op(BPF_LD | BPF_ABS | BPF_W, 0, 0, 0, 16),
      op(BPF_JMP | BPF_JA, 0, 0, 4, 0),
      op(BPF_LD | BPF_ABS | BPF_W, 0, 0, 0, 24),
      op(BPF_ALU64 | BPF_MOV | BPF_X, 7, 0, 0, 0),
      op(BPF_LD | BPF_ABS | BPF_W, 0, 0, 0, 28),
      op(BPF_ALU64 | BPF_XOR | BPF_X, 0, 7, 0, 0),
      op(BPF_ALU | BPF_MUL | BPF_K, 0, 0, 0, kIdMultiplier),
      op(BPF_ALU | BPF_RSH | BPF_K, 0, 0, 0, 16),
      op(BPF_ALU | BPF_MOD | BPF_K, 0, 0, 0, count),
      op(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
  };
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
  attributes.insn_cnt = sizeof program / sizeof program[0];
  attributes.insns = reinterpret_cast<uintptr_t>(program);
  static constexpr char license[] = "GPL";
  attributes.license = reinterpret_cast<uintptr_t>(license);
  return UniqueFd(static_cast<int>(syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof attributes)));
}

}  // namespace

TunDevice open_tun(const std::string& name, uint32_t queues, uint32_t mtu) {
  ifreq request{};
  if (name.empty() || name.size() >= sizeof request.ifr_name) throw SystemError{"TUN name \"" + name + "\"", EINVAL};
  TunDevice device;
  for (uint32_t i = 0; i < queues; i++) {
    UniqueFd fd(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
    if (fd.get() < 0) throw SystemError{"/dev/net/tun", errno};
    request = {};
    std::memcpy(request.ifr_name, name.data(), name.size());
    request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_MULTI_QUEUE;
    if (ioctl(fd.get(), TUNSETIFF, &request) != 0) throw SystemError{"TUN device " + name, errno};
    device.name = request.ifr_name;
    device.queues.push_back(std::move(fd));
  }
  if (queues > 1) {
    const UniqueFd program = queue_program(queues);
    const int fd = program.get();
    // Where it is refused, the order within each flow is still the kernel's care.
    device.steered = fd >= 0 && ioctl(device.queues[0].get(), TUNSETSTEERINGEBPF, &fd) == 0;
  }
  set_link(device.name, mtu);
  return device;
}

UdpGroup open_udp_group(const uint32_t* address, uint16_t port, uint32_t count, bool freebind) {
  UdpGroup group{port, {}};
  const int on = 1;
  for (uint32_t i = 0; i < count; i++) {
    SocketAddress local = SocketAddress::of(address, group.port);
    const int family = local.any.sa_family;
    UniqueFd fd(socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (fd.get() < 0) throw SystemError{"UDP socket", errno};
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (family == AF_INET6) setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (freebind) setsockopt(fd.get(), IPPROTO_IP, IP_FREEBIND, &on, sizeof on);
    // Messages longer than the path's MTU leave in fragments; tunnels are full of such.
    const int whatever = family == AF_INET6 ? IPV6_PMTUDISC_DONT : IP_PMTUDISC_DONT;
    const int level = family == AF_INET6 ? static_cast<int>(IPPROTO_IPV6) : static_cast<int>(IPPROTO_IP);
    setsockopt(fd.get(), level, family == AF_INET6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER, &whatever, sizeof whatever);
    buffers(fd.get());
    setsockopt(fd.get(), IPPROTO_UDP, UDP_GRO, &on, sizeof on);  // without it they come one by one
    if (bind(fd.get(), &local.any, local.length) != 0) {
      throw SystemError{"UDP port " + std::to_string(group.port), errno};
    }
    if (group.port == 0) {
      socklen_t length = sizeof local.v6;
      if (getsockname(fd.get(), &local.any, &length) != 0) throw SystemError{"getsockname", errno};
      uint32_t words[4];
      group.port = local.words(words);
    }
    group.sockets.push_back(std::move(fd));
  }
  if (count > 1) attach(group.sockets[0].get(), SO_ATTACH_REUSEPORT_CBPF, steering(count), "steering of a UDP port");
  return group;
}

AccessSockets open_access(const std::string& name, uint32_t count) {
  const unsigned interface = if_nametoindex(name.c_str());
  if (interface == 0) throw SystemError{"interface " + name, errno};
  const auto open_socket = [&](uint16_t type) {
    UniqueFd fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (fd.get() < 0) throw SystemError{"socket(AF_PACKET) for " + name, errno};
    buffers(fd.get());
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(type);
    address.sll_ifindex = static_cast<int>(interface);
    if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      throw SystemError{"bind of a packet socket to " + name, errno};
    }
    const int on = 1;
    setsockopt(fd.get(), SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);
    setsockopt(fd.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on);
    return fd;
  };
  AccessSockets result;
  result.discovery = open_socket(ETH_P_PPP_DISC);
  int group = PACKET_FANOUT_CBPF << 16 | PACKET_FANOUT_FLAG_UNIQUEID << 16;
  for (uint32_t i = 0; i < count; i++) {
    UniqueFd fd = open_socket(ETH_P_PPP_SES);
    if (count > 1) {
      if (setsockopt(fd.get(), SOL_PACKET, PACKET_FANOUT, &group, sizeof group) != 0) {
        throw SystemError{"PACKET_FANOUT on " + name, errno};
      }
      if (i == 0) {
        socklen_t length = sizeof group;
        if (getsockopt(fd.get(), SOL_PACKET, PACKET_FANOUT, &group, &length) != 0) {
          throw SystemError{"number of the fan-out on " + name, errno};
        }
        group = (group & 0xffff) | PACKET_FANOUT_CBPF << 16;
      }
    }
    result.sessions.push_back(std::move(fd));
  }
  if (count > 1) {
    // The PPPoE session id (RFC 2516 §4).
    std::vector<sock_filter> program = {
        {BPF_LD | BPF_H | BPF_ABS, 0, 0, static_cast<uint32_t>(SKF_NET_OFF) + 2},
        {BPF_ALU | BPF_MOD | BPF_K, 0, 0, count},
        {BPF_RET | BPF_A, 0, 0, 0},
    };
    const sock_fprog order{static_cast<unsigned short>(program.size()), program.data()};
    if (setsockopt(result.sessions[0].get(), SOL_PACKET, PACKET_FANOUT_DATA, &order, sizeof order) != 0) {
      throw SystemError{"steering of " + name, errno};
    }
  }
  return result;
}

}  // namespace td
