#include "xsk_set.h"

#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <ctime>

// Newer than some distributions' headers.
#ifndef AF_XDP
#define AF_XDP 44
#endif
#ifndef SOL_XDP
#define SOL_XDP 283
#endif
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif

namespace td {
namespace {

constexpr timespec kBindWait{0, 10'000'000};
constexpr uint32_t kBindWaits = 300;  // three seconds: the kernel lets a dead owner's queue go a little later
constexpr uint32_t kReceiveRingMin = 64;
constexpr uint32_t kSendRing = TD_COLUMN_LENGTH;  // everything that a turn can send

constexpr int kSendBuffer = 16 << 20;
constexpr std::size_t kOffsetLimit = 0x7fffffff;  // columns hold signed 32-bit offsets

template <typename T>
void set_option(int fd, int name, const T& value, const std::string& what) {
  if (setsockopt(fd, SOL_XDP, name, &value, sizeof value) != 0) throw SystemError{what, errno};
}

uint64_t queue_count(const XskSetOptions& options) {
  uint64_t queues = 0;
  for (const XskDeviceOptions& device : options.devices) queues += device.queues;
  return queues;
}

/// As many as are wanted, or as columns can point into: a device of many queues needs fewer for each.
uint32_t frames_of_queue(const XskSetOptions& options) {
  const uint64_t scratch = uint64_t{options.shards} * kXskScratchLength;
  uint32_t frames = options.frames_per_queue;
  while (queue_count(options) * frames * options.chunk_length + scratch > kOffsetLimit) {
    frames /= 2;
    if (frames >= kFramesPerQueueMin) continue;
    throw SystemError{std::to_string(queue_count(options)) + " queues with frames of " +
                          std::to_string(options.chunk_length) + " bytes",
                      EINVAL};
  }
  return frames;
}

bool ask(int fd, unsigned long request, const std::string& device, ifreq& answer) {
  std::strncpy(answer.ifr_name, device.c_str(), IFNAMSIZ - 1);
  return ioctl(fd, request, &answer) == 0;
}

/// Of the first `queues` queues, those that the device sends by: a socket on another one would send nothing, and say so
/// to nobody.
uint32_t count_sending_queues(int fd, const std::string& device, uint32_t queues) {
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  ifreq request{};
  request.ifr_data = reinterpret_cast<char*>(&channels);
  if (!ask(fd, SIOCETHTOOL, device, request)) return queues;
  return std::clamp(channels.tx_count + channels.combined_count, 1U, queues);
}

/// Questions for an IPv6 VIP go to a multicast group that nobody on this host has joined (RFC 4291 §2.7.1): a network
/// card would not let them in, and XDP sees no more than the card does. A device that cannot is none that filters.
void let_multicast_in(int fd, unsigned interface) {
  packet_mreq groups{};
  groups.mr_ifindex = static_cast<int>(interface);
  groups.mr_type = PACKET_MR_ALLMULTI;
  setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &groups, sizeof groups);
}

std::string name_of(const XskDevice& device, uint32_t queue) { return device.name + " queue " + std::to_string(queue); }

void bind_socket(int fd, const sockaddr_xdp& address, const std::string& what) {
  for (uint32_t tries = 0; ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0; tries++) {
    const int error = errno;
    if (error != EBUSY || tries == kBindWaits) throw SystemError{"bind of an AF_XDP socket to " + what, error};
    nanosleep(&kBindWait, nullptr);
  }
}

}  // namespace

uint32_t XskDevice::frame_limit() const noexcept {
  ifreq request{};
  if (!ask(control.get(), SIOCGIFMTU, name, request) || request.ifr_mtu < 0) return UINT32_MAX;
  return static_cast<uint32_t>(request.ifr_mtu) + ETH_HLEN;
}

XskSet::XskSet(const XskSetOptions& options)
    : shards_(options.shards),
      chunk_shift_(static_cast<uint32_t>(std::countr_zero(options.chunk_length))),
      frames_per_queue_(frames_of_queue(options)),
      pool_(static_cast<uint32_t>(queue_count(options)) * frames_per_queue_) {
  umem_length_ = std::size_t{pool_.frames()} << chunk_shift_;
  const std::size_t length = umem_length_ + shards_ * kXskScratchLength;
  memory_ = std::make_shared<RingMemory>(length);
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE;
  if (mmap(memory_->bytes().data(), length, PROT_READ | PROT_WRITE, kFlags, -1, 0) == MAP_FAILED) {
    throw SystemError{"mmap of " + std::to_string(length >> 20) + " MiB of frames", errno};
  }
  // A child process has no use for it, and its pages could not be shared with one anyway.
  madvise(memory_->bytes().data(), length, MADV_DONTFORK);
  switch (options.copy) {
    case XskCopy::kCopy:
      open(options, XDP_COPY);
      break;
    case XskCopy::kZeroCopy:
      open(options, XDP_ZEROCOPY);
      break;
    case XskCopy::kAuto:
      try {
        open(options, 0);  // the kernel's choice: zero-copy where the first device has it
      } catch (const SystemError&) {
        // The first device's driver may have it and another's not; the memory is one.
        if (!zero_copy_) throw;
        devices_.clear();
        open(options, XDP_COPY);
      }
  }
  fill();
}

void XskSet::open(const XskSetOptions& options, uint16_t bind_flags) {
  first_fd_ = -1;
  zero_copy_ = false;
  devices_.resize(options.devices.size());
  for (std::size_t i = 0; i < options.devices.size(); i++) open_device(options.devices[i], i, bind_flags);
}

void XskSet::open_device(const XskDeviceOptions& wanted, std::size_t index, uint16_t bind_flags) {
  XskDevice& device = devices_[index];
  device.name = wanted.name;
  device.queues = wanted.queues;
  device.interface = if_nametoindex(wanted.name.c_str());
  if (device.interface == 0) throw SystemError{"interface " + wanted.name, errno};
  device.control = UniqueFd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (device.control.get() < 0) throw SystemError{"socket(AF_PACKET) for " + wanted.name, errno};
  let_multicast_in(device.control.get(), device.interface);
  device.sending_queues = count_sending_queues(device.control.get(), wanted.name, wanted.queues);
  queues_ = std::max(queues_, wanted.queues);
  device.queue = std::make_unique<XskQueue[]>(wanted.queues);
  device.sockets.resize(std::size_t{wanted.queues} * shards_);
  for (uint32_t queue = 0; queue < wanted.queues; queue++) {
    for (uint32_t shard = 0; shard < shards_; shard++) open_socket(device, queue, shard, bind_flags);
  }
}

void XskSet::register_memory(int fd) {
  xdp_umem_reg memory{};
  memory.addr = reinterpret_cast<uint64_t>(memory_->bytes().data());
  memory.len = umem_length_;
  memory.chunk_size = 1U << chunk_shift_;
  const std::string what = std::to_string(umem_length_ >> 20) + " MiB of frames for AF_XDP";
  set_option(fd, XDP_UMEM_REG, memory, what);
}

void XskSet::open_socket(XskDevice& device, uint32_t queue, uint32_t shard, uint16_t bind_flags) {
  const std::string what = name_of(device, queue);
  XskSocket& xsk = device.sockets[std::size_t{queue} * shards_ + shard];
  XskQueue& shared = device.queue[queue];
  xsk.fd = UniqueFd(socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
  const int fd = xsk.fd.get();
  if (fd < 0) throw SystemError{"socket(AF_XDP) for " + what, errno};
  const bool is_first = first_fd_ < 0;
  const bool has_rings = shard == 0;
  const bool sends = queue == shard % device.sending_queues;
  const uint32_t filled = std::bit_floor(frames_per_queue_ / 2);
  // Half of a queue's frames at most wait in receive rings, however many shards have stopped reading theirs.
  const uint32_t receive = std::max(std::bit_floor(frames_per_queue_ / 2 / shards_), kReceiveRingMin);
  const uint32_t completion = std::bit_ceil(frames_per_queue_);
  if (is_first) register_memory(fd);
  if (has_rings) {
    set_option(fd, XDP_UMEM_FILL_RING, filled, "fill ring of " + what);
    set_option(fd, XDP_UMEM_COMPLETION_RING, completion, "completion ring of " + what);
  }
  set_option(fd, XDP_RX_RING, receive, "receive ring of " + what);
  if (sends) {
    set_option(fd, XDP_TX_RING, kSendRing, "send ring of " + what);
    // Else a call sends 32 frames and wants to be called again; a kernel that does not know it is one of those.
    setsockopt(fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &kSendRing, sizeof kSendRing);
    // Without the right to force it the ordinary limit stays: smaller bursts, nothing else.
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &kSendBuffer, sizeof kSendBuffer) != 0) {
      setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer);
    }
  }

  xdp_mmap_offsets offsets{};
  socklen_t length = sizeof offsets;
  if (getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &length) != 0 || length != sizeof offsets) {
    throw SystemError{"XDP_MMAP_OFFSETS of " + what, length != sizeof offsets ? EOPNOTSUPP : errno};
  }
  if (has_rings) {
    shared.fd = fd;
    shared.filled = filled;
    shared.fill.map(fd, XDP_UMEM_PGOFF_FILL_RING, offsets.fr, filled, "the fill ring of " + what);
    shared.completion.map(fd, XDP_UMEM_PGOFF_COMPLETION_RING, offsets.cr, completion, "the completion ring of " + what);
  }
  xsk.receive.map(fd, XDP_PGOFF_RX_RING, offsets.rx, receive, "the receive ring of " + what);
  if (sends) xsk.send.map(fd, XDP_PGOFF_TX_RING, offsets.tx, kSendRing, "the send ring of " + what);

  sockaddr_xdp address{};
  address.sxdp_family = AF_XDP;
  address.sxdp_ifindex = device.interface;
  address.sxdp_queue_id = queue;
  if (is_first) {
    address.sxdp_flags = static_cast<uint16_t>(bind_flags | XDP_USE_NEED_WAKEUP);
  } else {
    // A queue's first socket shares the memory and brings rings of its own; the others share those too.
    address.sxdp_flags = XDP_SHARED_UMEM;
    address.sxdp_shared_umem_fd = static_cast<uint32_t>(has_rings ? first_fd_ : shared.fd);
  }
  bind_socket(fd, address, what);
  if (!is_first) return;
  first_fd_ = fd;
  xdp_options answer{};
  length = sizeof answer;
  zero_copy_ =
      getsockopt(fd, SOL_XDP, XDP_OPTIONS, &answer, &length) == 0 && (answer.flags & XDP_OPTIONS_ZEROCOPY) != 0;
}

void XskSet::fill() {
  std::vector<uint32_t> frames;
  for (XskDevice& device : devices_) {
    for (uint32_t q = 0; q < device.queues; q++) {
      XskQueue& queue = device.queue[q];
      frames.resize(queue.filled);
      const uint32_t taken = pool_.take(frames, kInKernel);
      const uint32_t from = queue.fill.produced();
      for (uint32_t i = 0; i < taken; i++) queue.fill.at(from + i) = uint64_t{frames[i]} << chunk_shift_;
      queue.fill.produce(from + taken);
    }
  }
}

uint32_t XskSet::attach(uint32_t shard) {
  if (shard >= shards_) throw SystemError{"shard " + std::to_string(shard), EINVAL};
  uint32_t state = shards_state_[shard].load(std::memory_order_acquire);
  if ((state & 1) != 0 || !shards_state_[shard].compare_exchange_strong(state, state + 1)) {
    throw SystemError{"the sockets of shard " + std::to_string(shard), EBUSY};
  }
  return state + 1;
}

uint32_t XskSet::detach(uint32_t shard, uint32_t turn) noexcept {
  if (!serves(shard, turn)) return 0;
  const uint32_t found = pool_.reclaim(held_by(shard)) + pool_.reclaim(spare_of(shard));
  shards_state_[shard].store(turn + 1, std::memory_order_release);
  return found;
}

uint32_t XskSet::reclaim(uint32_t shard) noexcept {
  const uint32_t state = shards_state_[shard].load(std::memory_order_acquire);
  return (state & 1) != 0 ? detach(shard, state) : 0;
}

}  // namespace td
