#include "packet_ring.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "checksum.h"
#include "group_macs.h"

// Newer than some distributions' headers.
#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif
#ifndef PACKET_FANOUT_FLAG_IGNORE_OUTGOING
#define PACKET_FANOUT_FLAG_IGNORE_OUTGOING 0x4000
#endif

namespace td {
namespace {

constexpr std::size_t kScratchLength = static_cast<std::size_t>(TD_SCRATCH_SLOTS) * TD_SCRATCH_SLOT_LENGTH;
constexpr uint32_t kRetireMs = 1;  // a block that is not full is handed over after this long; the kernel's least
constexpr uint32_t kFrameSize = 2048;
constexpr int kSendBuffer = 16 << 20;
constexpr std::size_t kPartsPerFrame = 3;  // MACs, VLAN tag, the rest
constexpr timespec kSendWait{0, 50'000};
constexpr uint32_t kSendWaits = 20;  // for a device and a turn: two milliseconds, with what a timer adds
constexpr double kCheckSeconds = 1;
constexpr std::size_t kOffsetLimit = 0x7fffffff;  // columns hold signed 32-bit offsets

double monotonic() noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

std::atomic_ref<uint32_t> block_status(uint8_t* block) noexcept {
  return std::atomic_ref<uint32_t>(reinterpret_cast<tpacket_block_desc*>(block)->hdr.bh1.block_status);
}

template <typename T>
void set_option(int fd, int level, int name, const T& value, const std::string& what) {
  if (setsockopt(fd, level, name, &value, sizeof value) != 0) throw SystemError{what, errno};
}

UniqueFd packet_socket(const std::string& device) {
  // Protocol 0: nothing arrives before bind says what should.
  UniqueFd fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0) throw SystemError{"socket(AF_PACKET) for " + device, errno};
  return fd;
}

void bind_socket(int fd, unsigned interface, uint16_t protocol, const std::string& device) {
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(protocol);
  address.sll_ifindex = static_cast<int>(interface);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    throw SystemError{"bind of a packet socket to " + device, errno};
  }
}

void join_fanout(int fd, int group, FanoutRole role, uint32_t shards, const std::string& device) {
  constexpr int kKind = PACKET_FANOUT_CBPF | PACKET_FANOUT_FLAG_IGNORE_OUTGOING;
  set_option(fd, SOL_PACKET, PACKET_FANOUT, group | kKind << 16, "PACKET_FANOUT on " + device);
  std::vector<sock_filter> program = fanout_program(role, shards);
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  set_option(fd, SOL_PACKET, PACKET_FANOUT_DATA, filter, "PACKET_FANOUT_DATA on " + device);
}

}  // namespace

void probe_packet_socket() {
  const UniqueFd fd = packet_socket("a probe");
  set_option(fd.get(), SOL_PACKET, PACKET_VERSION, static_cast<int>(TPACKET_V3), "PACKET_VERSION");
}

RingMemory::RingMemory(std::size_t length) : length_(length) {
  void* base = mmap(nullptr, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) throw SystemError{"mmap of ring memory", errno};
  base_ = static_cast<uint8_t*>(base);
}

RingMemory::~RingMemory() { munmap(base_, length_); }

void RingMemory::detach() noexcept {
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
  mmap(base_, length_, PROT_READ | PROT_WRITE, kFlags, -1, 0);
}

PacketRing::PacketRing(const RingOptions& options)
    : block_length_(options.block_length),
      block_count_(options.block_count),
      spin_micros_(options.spin_micros),
      wake_fd_(options.wake_fd),
      ports_(options.ports) {
  const std::size_t ring_length = static_cast<std::size_t>(block_length_) * block_count_;
  if (ring_length == 0 || ring_length > (kOffsetLimit - kScratchLength) / options.devices.size()) {
    throw SystemError{"receive rings of " + std::to_string(ring_length) + " bytes each", EINVAL};
  }
  scratch_offset_ = ring_length * options.devices.size();
  memory_ = std::make_shared<RingMemory>(scratch_offset_ + kScratchLength);
  uint8_t* scratch = memory_->bytes().data() + scratch_offset_;
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE;
  if (mmap(scratch, kScratchLength, PROT_READ | PROT_WRITE, kFlags, -1, 0) == MAP_FAILED) {
    throw SystemError{"mmap of scratch memory", errno};
  }
  ports_.resize(TD_PORT_HOST, kHostPort);
  ports_.push_back(kHostPort);
  devices_.resize(options.devices.size());
  for (std::size_t i = 0; i < options.devices.size(); i++) open_device(options.devices[i], i, options);
  outboxes_.resize(devices_.size());
  for (Outbox& outbox : outboxes_) {
    outbox.messages.resize(TD_COLUMN_LENGTH);
    outbox.parts.resize(TD_COLUMN_LENGTH * kPartsPerFrame);
  }
  tags_.resize(ports_.size() * 4);
  for (std::size_t p = 0; p < ports_.size(); p++) {
    store16(&tags_[p * 4], ETH_P_8021Q);
    store16(&tags_[p * 4 + 2], ports_[p].vlan);
  }
}

void PacketRing::open_device(const RingDeviceOptions& wanted, std::size_t index, const RingOptions& options) {
  Device& device = devices_[index];
  const std::string& name = device.name = wanted.name;
  device.interface = if_nametoindex(name.c_str());
  if (device.interface == 0) throw SystemError{"interface " + name, errno};

  device.receive = packet_socket(name);
  const int fd = device.receive.get();
  set_option(fd, SOL_PACKET, PACKET_VERSION, static_cast<int>(TPACKET_V3), "PACKET_VERSION for " + name);
  set_option(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1, "PACKET_IGNORE_OUTGOING for " + name);
  tpacket_req3 request{};
  request.tp_block_size = block_length_;
  request.tp_block_nr = block_count_;
  request.tp_frame_size = kFrameSize;
  request.tp_frame_nr = block_length_ / kFrameSize * block_count_;
  request.tp_retire_blk_tov = kRetireMs;
  set_option(fd, SOL_PACKET, PACKET_RX_RING, request, "PACKET_RX_RING for " + name);
  const std::size_t ring_length = static_cast<std::size_t>(block_length_) * block_count_;
  device.ring = memory_->bytes().data() + ring_length * index;
  constexpr int kFlags = MAP_SHARED | MAP_FIXED | MAP_POPULATE;
  if (mmap(device.ring, ring_length, PROT_READ | PROT_WRITE, kFlags, fd, 0) == MAP_FAILED) {
    throw SystemError{"mmap of the receive ring of " + name, errno};
  }
  // Questions for an IPv6 VIP go to a multicast group that nobody on this host has joined (RFC 4291 §2.7.1): a network
  // card would not let them in. Ends with the socket; a device that cannot is none that filters.
  packet_mreq groups{};
  groups.mr_ifindex = static_cast<int>(device.interface);
  groups.mr_type = PACKET_MR_ALLMULTI;
  setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &groups, sizeof groups);
  if (options.fanout_group < 0 || options.shards <= 1) {
    bind_socket(fd, device.interface, ETH_P_ALL, name);
  } else {
    // A bound socket gets every frame until it is in its group. A filter keeps them out meanwhile: they are the other
    // members', and two of us would forward them.
    sock_filter nothing{BPF_RET | BPF_K, 0, 0, 0};
    set_option(fd, SOL_SOCKET, SO_ATTACH_FILTER, sock_fprog{1, &nothing}, "SO_ATTACH_FILTER for " + name);
    bind_socket(fd, device.interface, ETH_P_ALL, name);
    // The groups of a network namespace have one number space: one group per device.
    const int group = (options.fanout_group + static_cast<int>(index)) & 0xffff;
    join_fanout(fd, group, wanted.role, options.shards, name);
    set_option(fd, SOL_SOCKET, SO_DETACH_FILTER, 0, "SO_DETACH_FILTER for " + name);
  }

  device.send = packet_socket(name);
  bind_socket(device.send.get(), device.interface, 0, name);  // protocol 0: receives nothing
  // Through the queueing discipline, not around it: an operator's shaping holds, and on a veth, which has none, a batch
  // costs about a tenth less than with PACKET_QDISC_BYPASS (measured, docs/performance.md).
  // Without the right to force it the ordinary limit stays: smaller bursts, nothing else.
  if (setsockopt(device.send.get(), SOL_SOCKET, SO_SNDBUFFORCE, &kSendBuffer, sizeof kSendBuffer) != 0) {
    setsockopt(device.send.get(), SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer);
  }
}

void PacketRing::bind(const TableView& table, const Columns& columns, const Counters& counters,
                      double* clock) noexcept {
  table_ = table;
  columns_ = columns;
  counters_ = counters;
  clock_ = clock;
  clock_[0] = checked_at_ = monotonic();
}

void PacketRing::rewrite(uint32_t received, uint32_t scratch) noexcept {
  const auto ports = static_cast<uint32_t>(ports_.size());
  const RewriteContext context{table_, ports_.data(), ports, static_cast<uint32_t>(monotonic())};
  rewrite_batch(context, memory_->bytes(), columns_, counters_, 0, received);
  rewrite_batch(context, memory_->bytes(), columns_, counters_, TD_BATCH_CAPACITY, scratch);
}

void PacketRing::collect(uint32_t first, uint32_t count) noexcept {
  uint8_t* base = memory_->bytes().data();
  const std::size_t size = memory_->bytes().size();
  for (uint32_t i = first; i < first + count; i++) {
    if (columns_.verdict[i] != TD_VERDICT_RAW) continue;
    const uint8_t port = columns_.egress[i];
    const auto offset = static_cast<std::size_t>(static_cast<uint32_t>(columns_.offset[i]));
    const auto length = static_cast<std::size_t>(static_cast<uint32_t>(columns_.length[i]));
    if (port >= ports_.size() || columns_.offset[i] < 0 || columns_.length[i] < ETH_HLEN || offset + length > size) {
      counters_.statistics[counters_.send_failed] += 1;
      continue;
    }
    if (port == TD_PORT_HOST) {
      if (!host_.add({base + offset, length})) counters_.statistics[counters_.send_failed] += 1;
      continue;
    }
    Outbox& outbox = outboxes_[ports_[port].device];
    iovec* parts = &outbox.parts[outbox.count * kPartsPerFrame];
    std::size_t used = 1;
    if (ports_[port].vlan == 0) {
      parts[0] = {base + offset, length};
    } else {
      parts[0] = {base + offset, 2 * ETH_ALEN};
      parts[1] = {&tags_[port * std::size_t{4}], 4};
      parts[2] = {base + offset + 2 * ETH_ALEN, length - 2 * ETH_ALEN};
      used = 3;
    }
    msghdr& header = outbox.messages[outbox.count].msg_hdr;
    header = msghdr{};
    header.msg_iov = parts;
    header.msg_iovlen = used;
    outbox.count++;
  }
}

void PacketRing::flush(std::size_t index) noexcept {
  Outbox& outbox = outboxes_[index];
  Device& device = devices_[index];
  const int fd = device.send.get();
  uint32_t sent = 0;
  uint64_t bytes = 0;
  uint32_t waits = 0;
  for (uint32_t at = 0; at < outbox.count;) {
    const int done = sendmmsg(fd, &outbox.messages[at], outbox.count - at, MSG_DONTWAIT);
    if (done > 0) {
      for (const uint32_t end = at + static_cast<uint32_t>(done); at < end; at++) bytes += outbox.messages[at].msg_len;
      sent += static_cast<uint32_t>(done);
      continue;
    }
    const int error = errno;
    // Too much at once for the device's queue or for the socket: a batch is a burst. A queue drains in microseconds
    // and frames that wait in the ring are not lost, but a device that never gets room must not stop the shard.
    if ((error == EAGAIN || error == ENOBUFS) && waits < kSendWaits) {
      waits++;
      nanosleep(&kSendWait, nullptr);
      continue;
    }
    // These concern the frame at hand: too long, no Ethernet, or the device had no room for just it. Everything else
    // concerns the device, and the frames behind would fare no better.
    if (error == EMSGSIZE || error == EINVAL || error == ENOBUFS || error == EINTR) {
      at++;
      continue;
    }
    if (error == ENXIO || error == ENODEV) device.failed = true;
    break;
  }
  counters_.statistics[counters_.frames_sent] += sent;
  counters_.statistics[counters_.bytes_sent] += static_cast<double>(bytes);
  counters_.statistics[counters_.send_failed] += outbox.count - sent;
  outbox.count = 0;
}

void PacketRing::send(uint32_t received, uint32_t scratch) noexcept {
  collect(0, received);
  collect(TD_BATCH_CAPACITY, scratch);
  for (std::size_t i = 0; i < devices_.size(); i++) {
    if (outboxes_[i].count > 0) flush(i);
  }
  host_.flush(counters_);
}

void PacketRing::release_blocks() noexcept {
  for (Device& device : devices_) {
    for (; device.finished > 0; device.finished--) {
      const uint32_t block = (device.block + block_count_ - device.finished) % block_count_;
      uint8_t* start = device.ring + static_cast<std::size_t>(block) * block_length_;
      block_status(start).store(TP_STATUS_KERNEL, std::memory_order_release);
    }
  }
}

uint8_t PacketRing::port_of(uint8_t device, uint32_t status, uint32_t tci, uint32_t tpid) const noexcept {
  uint32_t vlan = 0;
  if ((status & TP_STATUS_VLAN_VALID) != 0) {
    // A service tag (IEEE 802.1ad) is another number space than ours.
    if ((status & TP_STATUS_VLAN_TPID_VALID) != 0 && tpid != ETH_P_8021Q) return TD_PORT_NONE;
    vlan = tci & 0x0fff;
  }
  for (std::size_t p = 0; p < ports_.size(); p++) {
    if (ports_[p].device == device && ports_[p].vlan == vlan) return static_cast<uint8_t>(p);
  }
  return TD_PORT_NONE;
}

uint32_t PacketRing::receive_from(Device& device, uint8_t index, uint32_t from, uint32_t room) noexcept {
  const uint8_t* base = memory_->bytes().data();
  uint32_t taken = 0;
  while (taken < room) {
    if (device.left == 0) {
      // Once round: the next block is one that this turn has finished, still marked as ours.
      if (device.finished == block_count_) break;
      uint8_t* start = device.ring + static_cast<std::size_t>(device.block) * block_length_;
      if ((block_status(start).load(std::memory_order_acquire) & TP_STATUS_USER) == 0) break;
      const tpacket_hdr_v1& block = reinterpret_cast<const tpacket_block_desc*>(start)->hdr.bh1;
      device.left = block.num_pkts;
      device.at = start + block.offset_to_first_pkt;
    }
    if (device.left > 0) {
      const auto* header = reinterpret_cast<const tpacket3_hdr*>(device.at);
      const auto* link = reinterpret_cast<const sockaddr_ll*>(device.at + TPACKET_ALIGN(sizeof(tpacket3_hdr)));
      const uint8_t port = port_of(index, header->tp_status, header->hv1.tp_vlan_tci, header->hv1.tp_vlan_tpid);
      // To us, to all, to many, to a virtual MAC that is held; not another host's, not our own.
      if (link->sll_pkttype <= PACKET_MULTICAST || (link->sll_pkttype == PACKET_OTHERHOST && header->tp_snaplen >= 6 &&
                                                    is_held(table_.xdp, device.at + header->tp_mac))) {
        const uint32_t i = from + taken;
        columns_.offset[i] = static_cast<int32_t>(device.at + header->tp_mac - base);
        columns_.length[i] = static_cast<int32_t>(header->tp_snaplen);
        columns_.egress[i] = TD_PORT_NONE;
        columns_.ingress[i] = port;
        columns_.flags[i] = (header->tp_status & TP_STATUS_CSUMNOTREADY) != 0 ? TD_FRAME_CHECKSUM_PARTIAL : 0;
        columns_.verdict[i] = TD_VERDICT_DROP;
        taken++;
      }
      device.at += header->tp_next_offset;
      device.left--;
    }
    if (device.left == 0) {
      device.finished++;
      device.block = (device.block + 1) % block_count_;
    }
  }
  return taken;
}

uint32_t PacketRing::receive() noexcept {
  const auto count = static_cast<uint8_t>(devices_.size());
  uint32_t taken = 0;
  // No device may starve another: each gets its share first, then whoever has more fills the rest.
  for (uint32_t room : {TD_BATCH_CAPACITY / uint32_t{count}, uint32_t{TD_BATCH_CAPACITY}}) {
    for (uint8_t n = 0; n < count; n++) {
      const auto index = static_cast<uint8_t>((first_device_ + n) % count);
      taken += receive_from(devices_[index], index, taken, std::min(room, TD_BATCH_CAPACITY - taken));
    }
    if (count == 1) break;
  }
  first_device_ = static_cast<uint8_t>((first_device_ + 1) % count);
  // Blocks without a frame for us need not wait for the next send.
  if (taken == 0) release_blocks();
  return taken;
}

void PacketRing::wait(uint32_t wait_ms) noexcept {
  std::array<pollfd, kDeviceLimit + 1> fds{};
  const std::size_t count = devices_.size();
  for (std::size_t i = 0; i < count; i++) fds[i] = {devices_[i].receive.get(), POLLIN | POLLERR, 0};
  fds[count] = {wake_fd_, POLLIN, 0};  // poll takes no notice of −1
  if (poll(fds.data(), count + 1, static_cast<int>(wait_ms)) <= 0) return;
  if ((fds[count].revents & POLLIN) != 0) {
    uint64_t drained = 0;
    [[maybe_unused]] const ssize_t got = ::read(wake_fd_, &drained, sizeof drained);
  }
  for (std::size_t i = 0; i < count; i++) {
    if ((fds[i].revents & POLLERR) == 0) continue;
    // ENETDOWN: the link is down for a while, or the device has gone. Reading the error clears it; else every poll
    // would return at once.
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(devices_[i].receive.get(), SOL_SOCKET, SO_ERROR, &error, &length);
    devices_[i].failed = true;
  }
}

void PacketRing::check_devices() {
  const bool due = clock_[0] - checked_at_ >= kCheckSeconds;
  if (due) {
    checked_at_ = clock_[0];
    pull_statistics();
  }
  for (Device& device : devices_) {
    if (!due && !device.failed) continue;
    device.failed = false;
    // By its index: the name may be given to another device, which these sockets would never hear of.
    char name[IF_NAMESIZE];
    if (if_indextoname(device.interface, name) == nullptr && (errno == ENXIO || errno == ENODEV)) {
      throw SystemError{"interface " + device.name + " has gone", ENODEV};
    }
  }
}

uint32_t PacketRing::turn(uint32_t received, uint32_t scratch, uint32_t wait_ms) {
  if (closed()) throw SystemError{"the packet ring is closed", EBADF};
  rewrite(received, scratch);
  send(received, scratch);
  release_blocks();
  uint32_t taken = receive();
  if (taken == 0 && wait_ms > 0) {
    // A sleep and a wake-up cost several microseconds; under load the next frames are nearer than that.
    const double until = monotonic() + spin_micros_ * 1e-6;
    while (taken == 0 && monotonic() < until) taken = receive();
    if (taken == 0) {
      wait(wait_ms);
      taken = receive();
    }
  }
  clock_[0] = monotonic();
  counters_.statistics[counters_.frames_received] += taken;
  check_devices();
  return taken;
}

void PacketRing::pull_statistics() noexcept {
  for (const Device& device : devices_) {
    tpacket_stats_v3 statistics{};
    socklen_t length = sizeof statistics;
    // The kernel starts both counts anew with every read.
    if (getsockopt(device.receive.get(), SOL_PACKET, PACKET_STATISTICS, &statistics, &length) != 0) continue;
    seen_ += statistics.tp_packets;
    lost_ += statistics.tp_drops;
    counters_.statistics[counters_.receive_ring] += statistics.tp_drops;
  }
}

void PacketRing::close() noexcept {
  if (closed()) return;
  devices_.clear();
  outboxes_.clear();
  // The mapping holds the receive sockets too: they leave their fan-out groups only when it goes.
  memory_->detach();
}

}  // namespace td
