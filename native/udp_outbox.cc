#include "udp_outbox.h"

#include <netinet/udp.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

namespace td {

SocketAddress SocketAddress::of(const uint32_t* words, uint16_t port) noexcept {
  SocketAddress result{};
  if (words[0] == 0 && words[1] == 0 && words[2] == 0xffff) {
    result.v4.sin_family = AF_INET;
    result.v4.sin_port = htons(port);
    result.v4.sin_addr.s_addr = htonl(words[3]);
    result.length = sizeof result.v4;
    return result;
  }
  result.v6.sin6_family = AF_INET6;
  result.v6.sin6_port = htons(port);
  uint32_t network[4];
  for (int i = 0; i < 4; i++) network[i] = htonl(words[i]);
  std::memcpy(&result.v6.sin6_addr, network, sizeof network);
  result.length = sizeof result.v6;
  return result;
}

uint16_t SocketAddress::words(uint32_t* words) const noexcept {
  if (any.sa_family == AF_INET) {
    words[0] = words[1] = 0;
    words[2] = 0xffff;
    words[3] = ntohl(v4.sin_addr.s_addr);
    return ntohs(v4.sin_port);
  }
  uint32_t network[4];
  std::memcpy(network, &v6.sin6_addr, sizeof network);
  for (int i = 0; i < 4; i++) words[i] = ntohl(network[i]);
  return ntohs(v6.sin6_port);
}

UdpOutbox::UdpOutbox(uint32_t capacity, bool segments) : capacity_(capacity), segments_(segments) {
  runs_.resize(capacity);
  parts_.resize(capacity);
  messages_.resize(capacity);
  vectors_.resize(capacity);
  addresses_.resize(capacity);
  controls_.resize(capacity);
  sent_runs_.resize(capacity);
}

bool UdpOutbox::extend(Run& run, const uint8_t* bytes, uint32_t length) noexcept {
  if (run.closed || length > run.segment || run.count == kSegments || run.bytes + length > kRunBytes) return false;
  if (run.segment > segment_limit_) return false;
  parts_[datagrams_] = {{const_cast<uint8_t*>(bytes), length}, 0};
  parts_[run.last].next = datagrams_;
  run.last = datagrams_++;
  run.count++;
  run.bytes += length;
  run.closed = length < run.segment;  // a shorter one can only be the last
  return true;
}

void UdpOutbox::add(int fd, const uint32_t* peer, uint16_t port, const uint8_t* bytes, uint32_t length) noexcept {
  const uint32_t slot = ((peer[3] ^ (peer[3] >> 16) ^ peer[1]) * 31 + port + static_cast<uint32_t>(fd) * 7) % kSlots;
  const uint32_t open = current_[slot];
  if (segments_ && open != 0) {
    Run& run = runs_[open - 1];
    if (run.fd == fd && run.port == port && std::equal(peer, peer + 4, run.peer) && extend(run, bytes, length)) return;
  }
  Run& run = runs_[run_count_];
  parts_[datagrams_] = {{const_cast<uint8_t*>(bytes), length}, 0};
  run = {fd, {peer[0], peer[1], peer[2], peer[3]}, port, length, length, 1, datagrams_, datagrams_, false};
  datagrams_++;
  current_[slot] = ++run_count_;
}

UdpOutbox::Result UdpOutbox::flush() noexcept {
  Result result;
  if (datagrams_ == 0) return result;
  // Few sockets are in use at once, mostly one.
  for (uint32_t i = 0; i < run_count_; i++) {
    const int fd = runs_[i].fd;
    bool seen = false;
    for (uint32_t k = 0; k < i && !seen; k++) seen = runs_[k].fd == fd;
    if (!seen) send_fd(fd, result);
  }
  datagrams_ = run_count_ = 0;
  current_.fill(0);
  return result;
}

void UdpOutbox::send_fd(int fd, Result& result) noexcept {
  uint32_t count = 0;
  uint32_t vectors = 0;
  for (uint32_t i = 0; i < run_count_; i++) {
    const Run& run = runs_[i];
    if (run.fd != fd) continue;
    addresses_[count] = SocketAddress::of(run.peer, run.port);
    const uint32_t first = vectors;
    for (uint32_t part = run.first, k = 0; k < run.count; k++, part = parts_[part].next) {
      vectors_[vectors++] = parts_[part].data;
    }
    msghdr& message = messages_[count].msg_hdr;
    message = {};
    message.msg_name = &addresses_[count].any;
    message.msg_namelen = addresses_[count].length;
    message.msg_iov = &vectors_[first];
    message.msg_iovlen = run.count;
    if (run.count > 1) {
      message.msg_control = controls_[count].data();
      message.msg_controllen = CMSG_SPACE(sizeof(uint16_t));
      cmsghdr* control = CMSG_FIRSTHDR(&message);
      control->cmsg_level = SOL_UDP;
      control->cmsg_type = UDP_SEGMENT;
      control->cmsg_len = CMSG_LEN(sizeof(uint16_t));
      const auto segment = static_cast<uint16_t>(run.segment);
      std::memcpy(CMSG_DATA(control), &segment, sizeof segment);
    }
    sent_runs_[count++] = i;
  }
  for (uint32_t done = 0; done < count;) {
    const int sent = sendmmsg(fd, &messages_[done], count - done, MSG_DONTWAIT | MSG_NOSIGNAL);
    result.calls++;
    if (sent > 0) {
      for (int i = 0; i < sent; i++) result.sent += runs_[sent_runs_[done + static_cast<uint32_t>(i)]].count;
      done += static_cast<uint32_t>(sent);
      continue;
    }
    if (sent < 0 && errno == EINTR) continue;
    const Run& run = runs_[sent_runs_[done++]];
    if (run.count > 1 && (errno == EMSGSIZE || errno == EINVAL || errno == EIO)) {
      // Segments do not fit the path, or the device cannot have them made: one by one, and so from now on.
      segment_limit_ = std::min(segment_limit_, run.segment - 1);
      send_single(run, result);
    } else {
      result.failed += run.count;
    }
  }
}

void UdpOutbox::send_single(const Run& run, Result& result) noexcept {
  SocketAddress address = SocketAddress::of(run.peer, run.port);
  for (uint32_t part = run.first, k = 0; k < run.count; k++, part = parts_[part].next) {
    const iovec& data = parts_[part].data;
    const ssize_t done =
        sendto(run.fd, data.iov_base, data.iov_len, MSG_DONTWAIT | MSG_NOSIGNAL, &address.any, address.length);
    result.calls++;
    if (done < 0)
      result.failed++;
    else
      result.sent++;
  }
}

}  // namespace td
