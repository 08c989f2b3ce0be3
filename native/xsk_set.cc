#include "xsk_set.h"

#include <net/if.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

#include "layout.h"

// Newer than some distributions' headers.
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif

namespace td {
namespace {

constexpr uint32_t kRingSize = 2048;
constexpr std::size_t kScratchLength = static_cast<std::size_t>(TD_SCRATCH_SLOTS) * TD_SCRATCH_SLOT_LENGTH;
constexpr std::size_t kOffsetLimit = 0x7fffffff;  // columns hold signed 32-bit offsets
/// A queue whose socket has just been closed is busy for a while.
constexpr timespec kBusyWait{0, 10'000'000};
constexpr int kBusyTries = 300;

uint32_t frame_count(const XskSetOptions& options) {
  uint32_t lanes = 0;
  for (const XskDeviceOptions& device : options.devices) lanes += device.queues;
  return lanes * options.frames_per_queue;
}

void set_ring(int fd, int name, const std::string& what) {
  if (setsockopt(fd, SOL_XDP, name, &kRingSize, sizeof kRingSize) != 0) throw SystemError{what, errno};
}

}  // namespace

XskQueue::XskQueue(int fd, uint32_t size, std::size_t item, const xdp_ring_offset& offsets, off_t page,
                   const std::string& what)
    : length_(offsets.desc + size * item), size_(size) {
  map_ = mmap(nullptr, length_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, page);
  if (map_ == MAP_FAILED) {
    map_ = nullptr;
    throw SystemError{"mmap of " + what, errno};
  }
  auto* base = static_cast<uint8_t*>(map_);
  producer_ = reinterpret_cast<uint32_t*>(base + offsets.producer);
  consumer_ = reinterpret_cast<uint32_t*>(base + offsets.consumer);
  flags_ = reinterpret_cast<uint32_t*>(base + offsets.flags);
  items_ = base + offsets.desc;
}

XskQueue::XskQueue(XskQueue&& other) noexcept
    : map_(std::exchange(other.map_, nullptr)),
      length_(other.length_),
      size_(other.size_),
      producer_(other.producer_),
      consumer_(other.consumer_),
      flags_(other.flags_),
      items_(other.items_) {}

XskQueue::~XskQueue() {
  if (map_ != nullptr) munmap(map_, length_);
}

FramePool::FramePool(uint32_t count) : used_(count), free_(count), owners_(count) {
  for (uint32_t i = 0; i < count; i++) free_[i] = count - 1 - i;
}

void FramePool::lock() noexcept {
  while (busy_.test_and_set(std::memory_order_acquire)) {
    while (busy_.test(std::memory_order_relaxed)) continue;
  }
}

uint32_t FramePool::take(uint32_t* out, uint32_t count, uint8_t owner) noexcept {
  lock();
  const uint32_t taken = std::min(count, used_);
  for (uint32_t i = 0; i < taken; i++) out[i] = free_[--used_];
  unlock();
  for (uint32_t i = 0; i < taken; i++) own(out[i], owner);
  return taken;
}

void FramePool::give(const uint32_t* frames, uint32_t count) noexcept {
  for (uint32_t i = 0; i < count; i++) own(frames[i], kPool);
  lock();
  for (uint32_t i = 0; i < count && used_ < free_.size(); i++) free_[used_++] = frames[i];
  unlock();
}

uint32_t FramePool::reclaim(uint8_t owner) noexcept {
  uint32_t count = 0;
  for (uint32_t frame = 0; frame < owners_.size(); frame++) {
    if (owners_[frame].load(std::memory_order_relaxed) != owner) continue;
    give(&frame, 1);
    count++;
  }
  return count;
}

uint32_t FramePool::available() noexcept {
  lock();
  const uint32_t count = used_;
  unlock();
  return count;
}

XskSet::XskSet(const XskSetOptions& options)
    : shards_(options.shards),
      chunk_(options.chunk_length),
      pool_(frame_count(options)),
      length_(static_cast<std::size_t>(pool_.size()) * chunk_ + kScratchLength * shards_) {
  if (length_ > kOffsetLimit) throw SystemError{"AF_XDP memory of " + std::to_string(length_) + " bytes", EINVAL};
  for (const XskDeviceOptions& device : options.devices) {
    const unsigned interface = if_nametoindex(device.name.c_str());
    if (interface == 0) throw SystemError{"interface " + device.name, errno};
    devices_.push_back({device.name, interface, device.queues, false});
    queues_ = std::max(queues_, device.queues);
  }
  memory_fd_ = UniqueFd(memfd_create("tunnel-designator-frames", MFD_CLOEXEC));
  if (memory_fd_.get() < 0 || ftruncate(memory_fd_.get(), static_cast<off_t>(length_)) != 0) {
    throw SystemError{"memfd of " + std::to_string(length_) + " bytes", errno};
  }
  memory_ = map();
  if (options.copy != XskCopy::kCopy) {
    try {
      open(options, XDP_ZEROCOPY);
      return;
    } catch (const SystemError& error) {
      const bool refused = error.error == EOPNOTSUPP || error.error == EINVAL || error.error == ENOTSUP;
      if (options.copy == XskCopy::kZeroCopy || !refused) throw;
      lanes_.clear();
      first_lane_.clear();
      pool_.reclaim(FramePool::kFill);
    }
  }
  open(options, XDP_COPY);
}

std::shared_ptr<RingMemory> XskSet::map() const {
  auto memory = std::make_shared<RingMemory>(length_);
  constexpr int kFlags = MAP_SHARED | MAP_FIXED | MAP_POPULATE;
  if (mmap(memory->bytes().data(), length_, PROT_READ | PROT_WRITE, kFlags, memory_fd_.get(), 0) == MAP_FAILED) {
    throw SystemError{"mmap of AF_XDP memory", errno};
  }
  return memory;
}

std::size_t XskSet::scratch_offset(uint32_t shard) const noexcept {
  return static_cast<std::size_t>(pool_.size()) * chunk_ + kScratchLength * shard;
}

void XskSet::open(const XskSetOptions& options, uint16_t flags) {
  for (uint32_t d = 0; d < devices_.size(); d++) {
    first_lane_.push_back(static_cast<uint32_t>(lanes_.size()));
    for (uint32_t q = 0; q < devices_[d].queues; q++) {
      lanes_.push_back(Lane{d, q, q % shards_, {}, {}, {}});
    }
  }
  for (Lane& lane : lanes_) open_lane(lane, options, flags);
  for (Device& device : devices_) {
    const Lane& lane = lanes_[first_lane_[static_cast<std::size_t>(&device - devices_.data())]];
    xdp_options got{};
    socklen_t length = sizeof got;
    device.zero_copy = getsockopt(lane.sockets[0].fd.get(), SOL_XDP, XDP_OPTIONS, &got, &length) == 0 &&
                       (got.flags & XDP_OPTIONS_ZEROCOPY) != 0;
  }
}

void XskSet::open_lane(Lane& lane, const XskSetOptions& options, uint16_t flags) {
  const std::string& name = devices_[lane.device].name;
  const std::string where = " for queue " + std::to_string(lane.queue) + " of " + name;
  for (uint32_t shard = 0; shard < shards_; shard++) {
    UniqueFd fd(socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (fd.get() < 0) throw SystemError{"socket(AF_XDP)" + where, errno};
    const bool first_of_all = &lane == lanes_.data() && shard == 0;
    const bool first = shard == 0;
    if (first_of_all) {
      xdp_umem_reg memory{};
      memory.addr = reinterpret_cast<uintptr_t>(memory_->bytes().data());
      memory.len = static_cast<uint64_t>(pool_.size()) * chunk_;
      memory.chunk_size = chunk_;
      if (setsockopt(fd.get(), SOL_XDP, XDP_UMEM_REG, &memory, sizeof memory) != 0) {
        throw SystemError{"XDP_UMEM_REG of " + std::to_string(memory.len) + " bytes", errno};
      }
    }
    if (first) {
      set_ring(fd.get(), XDP_UMEM_FILL_RING, "XDP_UMEM_FILL_RING" + where);
      set_ring(fd.get(), XDP_UMEM_COMPLETION_RING, "XDP_UMEM_COMPLETION_RING" + where);
    }
    set_ring(fd.get(), XDP_RX_RING, "XDP_RX_RING" + where);
    set_ring(fd.get(), XDP_TX_RING, "XDP_TX_RING" + where);
    // A whole ring with one system call; older kernels send 32 frames with each.
    setsockopt(fd.get(), SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &kRingSize, sizeof kRingSize);
    xdp_mmap_offsets offsets{};
    socklen_t length = sizeof offsets;
    if (getsockopt(fd.get(), SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &length) != 0) {
      throw SystemError{"XDP_MMAP_OFFSETS" + where, errno};
    }
    const int raw = fd.get();
    if (first) {
      new (&lane.fill) XskQueue(raw, kRingSize, sizeof(uint64_t), offsets.fr,
                                static_cast<off_t>(XDP_UMEM_PGOFF_FILL_RING), "the fill ring" + where);
      new (&lane.completion)
          XskQueue(raw, kRingSize, sizeof(uint64_t), offsets.cr, static_cast<off_t>(XDP_UMEM_PGOFF_COMPLETION_RING),
                   "the completion ring" + where);
    }
    lane.sockets.push_back(
        Socket{std::move(fd),
               XskQueue(raw, kRingSize, sizeof(xdp_desc), offsets.rx, XDP_PGOFF_RX_RING, "the receive ring" + where),
               XskQueue(raw, kRingSize, sizeof(xdp_desc), offsets.tx, XDP_PGOFF_TX_RING, "the transmit ring" + where)});
    // Flags are asked for once; who shares the memory shares them too.
    bind_socket(lane.sockets.back(), lane,
                first_of_all ? static_cast<uint16_t>(flags | XDP_USE_NEED_WAKEUP) : uint16_t{XDP_SHARED_UMEM});
  }
  // Half of the lane's frames: the others are on their way through shards and transmit rings.
  std::vector<uint32_t> frames(std::min(kRingSize, options.frames_per_queue / 2));
  const uint32_t count = pool_.take(frames.data(), static_cast<uint32_t>(frames.size()), FramePool::kFill);
  for (uint32_t i = 0; i < count; i++) lane.fill.to_give<uint64_t>(i) = static_cast<uint64_t>(frames[i]) * chunk_;
  lane.fill.given(count);
}

void XskSet::bind_socket(const Socket& socket, const Lane& lane, uint16_t flags) const {
  sockaddr_xdp address{};
  address.sxdp_family = AF_XDP;
  address.sxdp_ifindex = devices_[lane.device].interface;
  address.sxdp_queue_id = lane.queue;
  address.sxdp_flags = flags;
  if ((flags & XDP_SHARED_UMEM) != 0) {
    // Of the same queue, whose rings are shared too; the first socket of a queue shares only the memory.
    const Lane& other = &socket == lane.sockets.data() ? lanes_[0] : lane;
    address.sxdp_shared_umem_fd = static_cast<uint32_t>(other.sockets[0].fd.get());
  }
  int error = 0;
  for (int n = 0; n < kBusyTries; n++) {
    if (::bind(socket.fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return;
    error = errno;
    if (error != EBUSY) break;
    nanosleep(&kBusyWait, nullptr);
  }
  throw SystemError{
      "bind of an AF_XDP socket to queue " + std::to_string(lane.queue) + " of " + devices_[lane.device].name, error};
}

}  // namespace td
