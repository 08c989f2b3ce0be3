#include "flood.h"

#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/prctl.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

namespace td {
namespace {

constexpr uint32_t kBurst = 32;
constexpr int kSendBuffer = 16 << 20;
/// Debts beyond this are forgiven, unless they are less than two frames.
constexpr double kDebtSeconds = 0.0005;

double monotonic() noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

void sleep_for(double seconds) noexcept {
  timespec time{0, static_cast<long>(seconds * 1e9)};
  nanosleep(&time, nullptr);
}

}  // namespace

Flood::Flood(const FloodOptions& options) : options_(options) {
  const unsigned interface = if_nametoindex(options.device.c_str());
  if (interface == 0) throw SystemError{"interface " + options.device, errno};
  fd_ = UniqueFd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (fd_.get() < 0) throw SystemError{"socket(AF_PACKET) for " + options.device, errno};
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_ifindex = static_cast<int>(interface);
  if (bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    throw SystemError{"bind of a packet socket to " + options.device, errno};
  }
  const int on = 1;
  if (setsockopt(fd_.get(), SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) != 0) {
    throw SystemError{"PACKET_QDISC_BYPASS for " + options.device, errno};
  }
  setsockopt(fd_.get(), SOL_SOCKET, SO_SNDBUFFORCE, &kSendBuffer, sizeof kSendBuffer);
  messages_.resize(kBurst);
  parts_.resize(std::size_t{kBurst} * 2);
  for (uint32_t i = 0; i < kBurst; i++) {
    iovec* parts = &parts_[std::size_t{i} * 2];
    parts[0].iov_len = options_.head_length;
    parts[1] = {const_cast<uint8_t*>(options_.tail.data()), options_.tail.size()};
    messages_[i].msg_hdr.msg_iov = parts;
    messages_[i].msg_hdr.msg_iovlen = options_.tail.empty() ? 1 : 2;
  }
}

void Flood::prepare(uint32_t burst) noexcept {
  uint32_t flow = next_;
  for (uint32_t i = 0; i < burst; i++) {
    parts_[std::size_t{i} * 2].iov_base =
        const_cast<uint8_t*>(options_.heads.data()) + std::size_t{flow} * options_.head_length;
    if (++flow == options_.count) flow = 0;
  }
}

FloodResult Flood::run(const FloodOrder& order) {
  if (closed()) throw SystemError{"the flood is closed", EBADF};
  prctl(PR_SET_TIMERSLACK, 1000UL);  // nanoseconds; the default would make every sleep 50 µs longer
  FloodResult result;
  const double begin = monotonic();
  double now = begin;
  double due = begin;  // when the next frame may leave
  const double debt = order.rate > 0 ? std::max(kDebtSeconds, 2 / order.rate) : 0;
  while (now - begin < order.seconds && (order.limit == 0 || result.sent < order.limit)) {
    uint64_t burst = kBurst;
    if (order.rate > 0) {
      due = std::max(due, now - debt);
      const double owed = (now - due) * order.rate;
      if (owed < 1) {
        // A handful at a time: a wake-up for each frame would cost more than the frame. But not for so long that a part
        // of the debt is forgiven.
        sleep_for(std::min(8 / order.rate, debt / 2));
        now = monotonic();
        continue;
      }
      burst = std::min<uint64_t>(burst, static_cast<uint64_t>(owed));
    }
    if (order.limit > 0) burst = std::min(burst, order.limit - result.sent);
    prepare(static_cast<uint32_t>(burst));
    const int done = sendmmsg(fd_.get(), messages_.data(), static_cast<unsigned>(burst), 0);
    if (done > 0) {
      result.sent += static_cast<uint64_t>(done);
      next_ = static_cast<uint32_t>((next_ + static_cast<uint64_t>(done)) % options_.count);
      if (order.rate > 0) due += done / order.rate;
    } else if (errno == ENOBUFS || errno == EAGAIN || errno == EINTR) {
      result.refused++;
    } else {
      throw SystemError{"sendmmsg on " + options_.device, errno};
    }
    now = monotonic();
  }
  result.seconds = now - begin;
  return result;
}

}  // namespace td
