#include "netlink_socket.h"

#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>

namespace td {
namespace {

// The kernel makes datagrams of a dump as large as the buffer, but at most 32 KiB; notifications are smaller.
constexpr std::size_t kDatagramLength = 1 << 16;
constexpr int kReceiveBuffer = 4 << 20;
constexpr int kGroupLimit = 64;

}  // namespace

NetlinkSocket::NetlinkSocket(int protocol, uint64_t groups) : buffer_(kDatagramLength) {
  fd_ = UniqueFd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
  const int fd = fd_.get();
  if (fd < 0) throw NetlinkError{"socket(AF_NETLINK)", errno};
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    throw NetlinkError{"bind(AF_NETLINK)", errno};
  }
  for (int group = 1; group <= kGroupLimit; group++) {
    if ((groups >> (group - 1) & 1) == 0) continue;
    if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0) {
      throw NetlinkError{"netlink group " + std::to_string(group), errno};
    }
  }
  // What older kernels do not know of these only makes errors less clear and dumps longer.
  const int on = 1;
  setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof kReceiveBuffer) != 0) {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof kReceiveBuffer);
  }
}

int NetlinkSocket::send(std::span<const uint8_t> message) noexcept {
  return ::send(fd_.get(), message.data(), message.size(), 0) < 0 ? errno : 0;
}

int NetlinkSocket::receive(std::span<const uint8_t>& datagram) noexcept {
  iovec part{buffer_.data(), buffer_.size()};
  sockaddr_nl from{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_name = &from;
  for (;;) {
    message.msg_namelen = sizeof from;
    const ssize_t length = recvmsg(fd_.get(), &message, MSG_DONTWAIT);
    if (length < 0) {
      if (errno == EINTR) continue;
      datagram = {};
      return errno == EAGAIN ? 0 : errno;
    }
    // Any process may send to this socket; only the kernel is believed.
    if (from.nl_pid != 0) continue;
    datagram = {buffer_.data(), static_cast<std::size_t>(length)};
    return (message.msg_flags & MSG_TRUNC) != 0 ? EMSGSIZE : 0;
  }
}

}  // namespace td
