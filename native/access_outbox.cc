#include "access_outbox.h"

#include <linux/if_ether.h>
#include <netinet/in.h>

#include <cerrno>
#include <cstring>

#include "checksum.h"

namespace td {

AccessOutbox::AccessOutbox(uint32_t capacity) : frames_(capacity), messages_(capacity) {
  for (uint32_t i = 0; i < capacity; i++) {
    Frame& frame = frames_[i];
    frame.to = {};
    frame.to.sll_family = AF_PACKET;
    frame.to.sll_protocol = htons(ETH_P_PPP_SES);
    frame.to.sll_halen = 6;
    frame.parts[0].iov_base = frame.head;
    msghdr& message = messages_[i].msg_hdr;
    message = {};
    message.msg_name = &frame.to;
    message.msg_namelen = sizeof frame.to;
    message.msg_iov = frame.parts;
    message.msg_iovlen = 2;
  }
}

void AccessOutbox::add(const AccessLine& line, const uint8_t* mac, uint16_t session, const uint8_t* bytes,
                       uint32_t length, uint32_t pad) noexcept {
  Frame& frame = frames_[count_++];
  frame.fd = line.session_fd;
  frame.to.sll_ifindex = line.interface_index;
  std::memcpy(frame.to.sll_addr, mac, 6);
  std::memcpy(frame.head, mac, 6);
  std::memcpy(frame.head + 6, line.mac.data(), 6);
  store16(frame.head + 12, ETH_P_PPP_SES);
  frame.head[14] = 0x11;  // version and type (RFC 2516 §4)
  frame.head[15] = 0;
  store16(frame.head + 16, session);
  store16(frame.head + 18, length + pad);
  frame.head[20] = 0;
  frame.parts[0].iov_len = kEthernetLength + kPppoeLength + pad;
  frame.parts[1] = {const_cast<uint8_t*>(bytes), length};
}

AccessOutbox::Result AccessOutbox::flush() noexcept {
  Result result;
  for (uint32_t done = 0; done < count_;) {
    uint32_t same = 1;
    while (done + same < count_ && frames_[done + same].fd == frames_[done].fd) same++;
    const int sent = sendmmsg(frames_[done].fd, &messages_[done], same, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) {
      result.sent += static_cast<uint64_t>(sent);
      done += static_cast<uint32_t>(sent);
    } else if (errno != EINTR) {
      result.failed++;
      done++;
    }
  }
  count_ = 0;
  return result;
}

}  // namespace td
