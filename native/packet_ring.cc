#include "packet_ring.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "checksum.h"
#include "fanout.h"

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

namespace td {
namespace {

constexpr std::size_t kScratchLength = static_cast<std::size_t>(TD_SCRATCH_SLOTS) * TD_SCRATCH_SLOT_LENGTH;
constexpr uint32_t kRetireMs = 1;       // a block that is not full is handed over after this long
constexpr int kSendBuffer = 16 << 20;
constexpr int kPartsPerFrame = 3;       // MACs, VLAN tag, the rest

double monotonic() noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

tpacket_block_desc* block_at(uint8_t* ring, uint32_t block_length, uint32_t block) noexcept {
  return reinterpret_cast<tpacket_block_desc*>(ring + static_cast<std::size_t>(block) * block_length);
}

uint32_t block_status(const tpacket_block_desc* block) noexcept {
  return std::atomic_ref<uint32_t>(const_cast<uint32_t&>(block->hdr.bh1.block_status)).load(std::memory_order_acquire);
}

template <typename T>
void set_option(int fd, int level, int name, const T& value, const std::string& what) {
  if (setsockopt(fd, level, name, &value, sizeof value) != 0) throw SystemError{what, errno};
}

}  // namespace

RingMemory::RingMemory(std::size_t length) : length_(length) {
  void* base = mmap(nullptr, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) throw SystemError{"mmap of ring memory", errno};
  base_ = static_cast<uint8_t*>(base);
}

RingMemory::~RingMemory() { munmap(base_, length_); }

void RingMemory::detach() noexcept { mmap(base_, length_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0); }

PacketRing::PacketRing(const RingOptions& options)
    : block_length_(options.block_length),
      block_count_(options.block_count),
      spin_micros_(options.spin_micros),
      wake_fd_(options.wake_fd),
      ports_(options.ports) {
  const std::size_t ring_length = static_cast<std::size_t>(block_length_) * block_count_;
  scratch_offset_ = ring_length * options.devices.size();
  memory_ = std::make_shared<RingMemory>(scratch_offset_ + kScratchLength);
  uint8_t* scratch = memory_->bytes().data() + scratch_offset_;
  if (mmap(scratch, kScratchLength, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0) == MAP_FAILED) {
    throw SystemError{"mmap of scratch memory", errno};
  }
  devices_.resize(options.devices.size());
  for (std::size_t i = 0; i < options.devices.size(); i++) open_device(options.devices[i], i, options);
  outboxes_.resize(devices_.size());
  for (Outbox& outbox : outboxes_) {
    outbox.messages.resize(TD_COLUMN_LENGTH);
    outbox.parts.resize(static_cast<std::size_t>(TD_COLUMN_LENGTH) * kPartsPerFrame);
  }
  tags_.resize(ports_.size() * 4);
  for (std::size_t p = 0; p < ports_.size(); p++) {
    store16(&tags_[p * 4], ETH_P_8021Q);
    store16(&tags_[p * 4 + 2], ports_[p].vlan);
  }
  finished_.reserve(static_cast<std::size_t>(block_count_) * devices_.size());
}

void PacketRing::open_device(const RingDeviceOptions& wanted, std::size_t index, const RingOptions& options) {
  Device& device = devices_[index];
  device.name = wanted.name;
  const unsigned interface = if_nametoindex(wanted.name.c_str());
  if (interface == 0) throw SystemError{"no interface " + wanted.name, errno};
  // Protocol 0 until everything is set: no packet must get into a socket that is not in its fan-out group yet.
  device.receive = UniqueFd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (device.receive.get() < 0) throw SystemError{"socket(AF_PACKET)", errno};
  const int fd = device.receive.get();
  set_option(fd, SOL_PACKET, PACKET_VERSION, static_cast<int>(TPACKET_V3), "PACKET_VERSION");
  set_option(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1, "PACKET_IGNORE_OUTGOING");
  tpacket_req3 request{};
  request.tp_block_size = block_length_;
  request.tp_block_nr = block_count_;
  request.tp_frame_size = 2048;
  request.tp_frame_nr = block_length_ / 2048 * block_count_;
  request.tp_retire_blk_tov = kRetireMs;
  set_option(fd, SOL_PACKET, PACKET_RX_RING, request, "PACKET_RX_RING on " + wanted.name);
  const std::size_t ring_length = static_cast<std::size_t>(block_length_) * block_count_;
  device.ring = memory_->bytes().data() + ring_length * index;
  if (mmap(device.ring, ring_length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0) == MAP_FAILED) {
    throw SystemError{"mmap of the receive ring of " + wanted.name, errno};
  }
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(interface);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) throw SystemError{"bind to " + wanted.name, errno};
  if (options.fanout_group >= 0) {
    // Group ids are one namespace per network namespace: a group per device.
    const int group = (options.fanout_group + static_cast<int>(index)) & 0xffff;
    set_option(fd, SOL_PACKET, PACKET_FANOUT, group | (PACKET_FANOUT_CBPF << 16), "PACKET_FANOUT on " + wanted.name);
    std::vector<sock_filter> program = fanout_program(wanted.role == 1 ? FanoutRole::kInside : FanoutRole::kOutside, options.shards);
    const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
    set_option(fd, SOL_PACKET, PACKET_FANOUT_DATA, filter, "PACKET_FANOUT_DATA on " + wanted.name);
  }

  device.send = UniqueFd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (device.send.get() < 0) throw SystemError{"socket(AF_PACKET)", errno};
  address.sll_protocol = 0;  // receives nothing
  if (::bind(device.send.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) throw SystemError{"bind to " + wanted.name, errno};
  set_option(device.send.get(), SOL_PACKET, PACKET_QDISC_BYPASS, 1, "PACKET_QDISC_BYPASS");
  // Without the right to force it the ordinary limit stays: slower bursts, nothing else.
  if (setsockopt(device.send.get(), SOL_SOCKET, SO_SNDBUFFORCE, &kSendBuffer, sizeof kSendBuffer) != 0) {
    setsockopt(device.send.get(), SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer);
  }
}

void PacketRing::bind(const TableView& table, const Columns& columns, const Counters& counters, double* clock) noexcept {
  table_ = table;
  columns_ = columns;
  counters_ = counters;
  clock_ = clock;
  read_clock();
}

void PacketRing::read_clock() noexcept { clock_[0] = monotonic(); }

void PacketRing::rewrite(uint32_t received, uint32_t scratch) noexcept {
  const RewriteContext context{table_, ports_.data(), static_cast<uint32_t>(ports_.size()), static_cast<uint32_t>(clock_[0])};
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
    if (port >= ports_.size() || columns_.offset[i] < 0 || columns_.length[i] < 14 || offset + length > size) {
      counters_.statistics[counters_.send_failed] += 1;
      continue;
    }
    Outbox& outbox = outboxes_[ports_[port].device];
    iovec* parts = &outbox.parts[static_cast<std::size_t>(outbox.count) * kPartsPerFrame];
    std::size_t used = 1;
    if (ports_[port].vlan == 0) {
      parts[0] = {base + offset, length};
    } else {
      parts[0] = {base + offset, 12};
      parts[1] = {&tags_[static_cast<std::size_t>(port) * 4], 4};
      parts[2] = {base + offset + 12, length - 12};
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
  const int fd = devices_[index].send.get();
  uint32_t sent = 0;
  uint32_t failed = 0;
  bool retried = false;
  for (uint32_t at = 0; at < outbox.count;) {
    const int done = sendmmsg(fd, &outbox.messages[at], outbox.count - at, MSG_DONTWAIT);
    if (done > 0) {
      for (uint32_t i = at; i < at + static_cast<uint32_t>(done); i++) counters_.statistics[counters_.bytes_sent] += outbox.messages[i].msg_len;
      at += static_cast<uint32_t>(done);
      sent += static_cast<uint32_t>(done);
      continue;
    }
    if (errno == EINTR) continue;
    if ((errno == EAGAIN || errno == ENOBUFS) && !retried) {
      // One bounded wait: a sender that never gets room must not stop the shard.
      retried = true;
      pollfd room{fd, POLLOUT, 0};
      poll(&room, 1, 1);
      continue;
    }
    if (errno == EMSGSIZE || errno == EINVAL) {  // this frame's own fault
      failed++;
      at++;
      continue;
    }
    failed += outbox.count - at;
    break;
  }
  counters_.statistics[counters_.frames_sent] += sent;
  counters_.statistics[counters_.send_failed] += failed;
  outbox.count = 0;
}

void PacketRing::send(uint32_t received, uint32_t scratch) noexcept {
  collect(0, received);
  collect(TD_BATCH_CAPACITY, scratch);
  for (std::size_t i = 0; i < devices_.size(); i++) {
    if (outboxes_[i].count > 0) flush(i);
  }
}

void PacketRing::release_blocks() noexcept {
  for (uint8_t* block : finished_) {
    auto* header = reinterpret_cast<tpacket_block_desc*>(block);
    std::atomic_ref<uint32_t>(header->hdr.bh1.block_status).store(TP_STATUS_KERNEL, std::memory_order_release);
  }
  finished_.clear();
}

uint32_t PacketRing::receive_from(Device& device, uint8_t index, uint32_t from, uint32_t room) {
  uint32_t taken = 0;
  const uint8_t* base = memory_->bytes().data();
  while (taken < room) {
    if (device.left == 0) {
      tpacket_block_desc* block = block_at(device.ring, block_length_, device.block);
      if ((block_status(block) & TP_STATUS_USER) == 0) break;
      // A block that was finished in this very turn is the kernel's only after the next send.
      if (!finished_.empty() && finished_.size() >= block_count_) break;
      device.left = block->hdr.bh1.num_pkts;
      device.at = reinterpret_cast<const uint8_t*>(block) + block->hdr.bh1.offset_to_first_pkt;
      if (device.left == 0) {
        finished_.push_back(reinterpret_cast<uint8_t*>(block));
        device.block = (device.block + 1) % block_count_;
        continue;
      }
    }
    const auto* header = reinterpret_cast<const tpacket3_hdr*>(device.at);
    const auto* link = reinterpret_cast<const sockaddr_ll*>(device.at + TPACKET_ALIGN(sizeof(tpacket3_hdr)));
    if (link->sll_pkttype == PACKET_HOST || link->sll_pkttype == PACKET_BROADCAST || link->sll_pkttype == PACKET_MULTICAST) {
      const uint32_t i = from + taken;
      const uint16_t vlan = (header->tp_status & TP_STATUS_VLAN_VALID) != 0 ? static_cast<uint16_t>(header->hv1.tp_vlan_tci & 0x0fff) : 0;
      uint8_t ingress = TD_PORT_NONE;
      for (std::size_t p = 0; p < ports_.size(); p++) {
        if (ports_[p].device == index && ports_[p].vlan == vlan) {
          ingress = static_cast<uint8_t>(p);
          break;
        }
      }
      columns_.offset[i] = static_cast<int32_t>(device.at + header->tp_mac - base);
      columns_.length[i] = static_cast<int32_t>(header->tp_snaplen);
      columns_.ingress[i] = ingress;
      columns_.flags[i] = (header->tp_status & TP_STATUS_CSUMNOTREADY) != 0 ? TD_FRAME_CHECKSUM_PARTIAL : 0;
      columns_.verdict[i] = TD_VERDICT_DROP;
      taken++;
    }
    device.left--;
    if (device.left > 0) {
      device.at += header->tp_next_offset;
    } else {
      finished_.push_back(reinterpret_cast<uint8_t*>(block_at(device.ring, block_length_, device.block)));
      device.block = (device.block + 1) % block_count_;
    }
  }
  return taken;
}

uint32_t PacketRing::receive(uint32_t room) {
  uint32_t taken = 0;
  const auto count = static_cast<uint8_t>(devices_.size());
  // No device may starve another: each gets its share first, then whoever has more fills the rest.
  const uint32_t share = room / count;
  for (uint8_t pass = 0; pass < 2; pass++) {
    for (uint8_t n = 0; n < count; n++) {
      const auto index = static_cast<uint8_t>((first_device_ + n) % count);
      const uint32_t limit = pass == 0 ? share : room - taken;
      if (limit > 0 && taken < room) taken += receive_from(devices_[index], index, taken, std::min(limit, room - taken));
    }
    if (count == 1) break;
  }
  first_device_ = static_cast<uint8_t>((first_device_ + 1) % count);
  return taken;
}

void PacketRing::wait(uint32_t wait_ms) {
  pollfd fds[9];
  nfds_t count = 0;
  for (const Device& device : devices_) fds[count++] = {device.receive.get(), POLLIN | POLLERR, 0};
  if (wake_fd_ >= 0) fds[count++] = {wake_fd_, POLLIN, 0};
  poll(fds, count, static_cast<int>(wait_ms));
  if (wake_fd_ >= 0 && (fds[count - 1].revents & POLLIN) != 0) {
    uint64_t drained = 0;
    [[maybe_unused]] const ssize_t got = ::read(wake_fd_, &drained, sizeof drained);
  }
  for (std::size_t i = 0; i < devices_.size(); i++) {
    if ((fds[i].revents & POLLERR) == 0) continue;
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(devices_[i].receive.get(), SOL_SOCKET, SO_ERROR, &error, &length);
    // ENETDOWN: the link is down for a while, or the device has gone for good.
    if (error != 0 && if_nametoindex(devices_[i].name.c_str()) == 0) throw SystemError{"interface " + devices_[i].name + " has gone", ENODEV};
  }
}

uint32_t PacketRing::turn(uint32_t received, uint32_t scratch, uint32_t wait_ms) {
  if (devices_.empty()) throw SystemError{"the packet ring is closed", EBADF};
  rewrite(received, scratch);
  send(received, scratch);
  release_blocks();
  uint32_t taken = receive(TD_BATCH_CAPACITY);
  if (taken == 0) {
    if (spin_micros_ > 0 && wait_ms > 0) {
      const double until = monotonic() + spin_micros_ * 1e-6;
      while (taken == 0 && monotonic() < until) taken = receive(TD_BATCH_CAPACITY);
    }
    if (taken == 0 && wait_ms > 0) {
      wait(wait_ms);
      taken = receive(TD_BATCH_CAPACITY);
    }
  }
  read_clock();
  counters_.statistics[counters_.frames_received] += taken;
  if (clock_[0] - statistics_at_ >= 1) pull_statistics();
  return taken;
}

void PacketRing::pull_statistics() noexcept {
  statistics_at_ = clock_[0];
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
  if (devices_.empty()) return;
  devices_.clear();
  outboxes_.clear();
  finished_.clear();
  memory_->detach();
}

}  // namespace td
