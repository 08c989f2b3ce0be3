#include "bpf_sys.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <functional>
#include <thread>

namespace td {
namespace {

// The verifier's log of a program that it went through half: what counts is its end, so it must fit as a whole.
constexpr std::size_t kLogLength = std::size_t{16} << 20;
constexpr std::size_t kLogKept = std::size_t{64} << 10;
constexpr int kLoadAttempts = 5;
// What a program may put in front of a packet (XDP_PACKET_HEADROOM), and some.
constexpr std::size_t kTestRoom = 512;

uint64_t address_of(const void* place) { return reinterpret_cast<uint64_t>(place); }

int call(int command, bpf_attr& attributes) noexcept {
  return static_cast<int>(syscall(SYS_bpf, command, &attributes, sizeof attributes));
}

/// Fields that a command does not know must be 0, padding too.
bpf_attr empty() noexcept {
  bpf_attr attributes;
  std::memset(&attributes, 0, sizeof attributes);
  return attributes;
}

/// Names in the kernel: 15 characters, of which it allows letters, digits, '_' and '.'.
void put_name(char* field, const std::string& name) {
  std::memcpy(field, name.data(), std::min<std::size_t>(name.size(), BPF_OBJ_NAME_LEN - 1));
}

template <typename Info>
void get_info(int fd, Info& info, const char* what) {
  bpf_attr attributes = empty();
  attributes.info.bpf_fd = static_cast<uint32_t>(fd);
  attributes.info.info_len = sizeof info;
  attributes.info.info = address_of(&info);
  if (call(BPF_OBJ_GET_INFO_BY_FD, attributes) != 0) {
    throw BpfError{std::string("bpf: facts of the ") + what + " with descriptor " + std::to_string(fd), errno, {}};
  }
}

/// Whatever `info` points to is written by the kernel: a program's descriptor must not be read as a map's.
template <typename Info>
Info info_of(int fd, const char* what) {
  Info info;
  std::memset(&info, 0, sizeof info);
  get_info(fd, info, what);
  return info;
}

BpfMapInfo checked(int map, std::size_t key_length, const char* command) {
  BpfMapInfo info = bpf_map_info(map);
  if (info.key_length != key_length) {
    throw BpfError{std::string("bpf: ") + command + " in map " + info.name + ", key of " + std::to_string(key_length) +
                       " bytes instead of " + std::to_string(info.key_length),
                   EINVAL,
                   {}};
  }
  return info;
}

void check_value(const BpfMapInfo& info, std::size_t length, const char* command) {
  const std::size_t needed = bpf_value_length(info);
  if (needed != 0 && needed == length) return;
  throw BpfError{std::string("bpf: ") + command + " in map " + info.name + ", value of " + std::to_string(length) +
                     " bytes instead of " + std::to_string(needed),
                 EINVAL,
                 {}};
}

bpf_attr element(int map, const void* key, const void* value) {
  bpf_attr attributes = empty();
  attributes.map_fd = static_cast<uint32_t>(map);
  attributes.key = address_of(key);
  attributes.value = address_of(value);
  return attributes;
}

UniqueFd open_by_id(int command, uint32_t id, const char* what) {
  bpf_attr attributes = empty();
  attributes.prog_id = id;  // at the same place as map_id
  UniqueFd fd(call(command, attributes));
  if (fd.get() < 0) throw BpfError{std::string("bpf: open ") + what + " " + std::to_string(id), errno, {}};
  return fd;
}

/// Whether `path`, or what of it there is, lies on a bpffs.
bool on_bpffs(std::string path) {
  struct statfs status {};
  while (statfs(path.c_str(), &status) != 0) {
    const std::size_t slash = path.rfind('/');
    if ((errno != ENOENT && errno != ENOTDIR) || slash == std::string::npos || slash == 0) return false;
    path.resize(slash);
  }
  return status.f_type == BPF_FS_MAGIC;
}

/// The last one is for pins and closed to others; those above it belong to whoever comes.
void make_folders(const std::string& path) {
  for (std::size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
    const std::string part = path.substr(0, at);
    const bool last = at == std::string::npos;
    if (mkdir(part.c_str(), last ? 0700 : 0755) != 0 && errno != EEXIST) throw BpfError{"mkdir " + part, errno, {}};
    if (last) return;
  }
}

/// Runs `body` with the mounts of another process. Only a thread that shares its root with no other may go there, so
/// one is made for it and ends with it.
void with_mounts_of(int process, const std::function<void()>& body) {
  if (process == 0) return body();
  std::exception_ptr failure;
  std::thread([&] {
    try {
      const std::string name = "/proc/" + std::to_string(process) + "/ns/mnt";
      const UniqueFd target(open(name.c_str(), O_RDONLY | O_CLOEXEC));
      if (target.get() < 0) throw BpfError{"open " + name, errno, {}};
      if (unshare(CLONE_FS) != 0) throw BpfError{"unshare(CLONE_FS)", errno, {}};
      if (setns(target.get(), CLONE_NEWNS) != 0) throw BpfError{"setns to " + name, errno, {}};
      body();
    } catch (...) {
      failure = std::current_exception();
    }
  }).join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

UniqueFd bpf_create_map(const BpfMapInfo& order) {
  bpf_attr attributes = empty();
  attributes.map_type = order.type;
  attributes.key_size = order.key_length;
  attributes.value_size = order.value_length;
  attributes.max_entries = order.entries;
  attributes.map_flags = order.flags;
  put_name(attributes.map_name, order.name);
  UniqueFd fd(call(BPF_MAP_CREATE, attributes));
  if (fd.get() < 0) throw BpfError{"bpf: create map " + order.name, errno, {}};
  return fd;
}

UniqueFd bpf_load_xdp(const BpfProgramOrder& order) {
  bpf_attr attributes = empty();
  attributes.prog_type = BPF_PROG_TYPE_XDP;
  attributes.expected_attach_type = order.expected_attach_type;
  attributes.insn_cnt = static_cast<uint32_t>(order.code.size());
  attributes.insns = address_of(order.code.data());
  attributes.license = address_of(order.license.c_str());
  put_name(attributes.prog_name, order.name);
  int error = EAGAIN;
  // A signal for the thread interrupts the verifier.
  for (int attempt = 0; attempt < kLoadAttempts && error == EAGAIN; attempt++) {
    UniqueFd fd(call(BPF_PROG_LOAD, attributes));
    if (fd.get() >= 0) return fd;
    error = errno;
  }
  const std::string what = "bpf: load program " + order.name;
  if (error == EPERM || error == ENOSYS) throw BpfError{what, error, {}};
  std::string log(kLogLength, '\0');
  attributes.log_level = 1;
  attributes.log_size = static_cast<uint32_t>(log.size());
  attributes.log_buf = address_of(log.data());
  UniqueFd fd(call(BPF_PROG_LOAD, attributes));
  if (fd.get() >= 0) return fd;
  log.resize(strnlen(log.data(), log.size()));
  if (log.size() > kLogKept) log.erase(0, log.size() - kLogKept);
  throw BpfError{what, error, std::move(log)};
}

BpfMapInfo bpf_map_info(int map) {
  const auto info = info_of<struct ::bpf_map_info>(map, "map");

  BpfMapInfo result;
  result.id = info.id;
  result.type = info.type;
  result.key_length = info.key_size;
  result.value_length = info.value_size;
  result.entries = info.max_entries;
  result.flags = info.map_flags;
  result.name = std::string(info.name, strnlen(info.name, sizeof info.name));
  return result;
}

std::size_t bpf_value_length(const BpfMapInfo& info) {
  switch (info.type) {
    case BPF_MAP_TYPE_PERCPU_ARRAY:
    case BPF_MAP_TYPE_PERCPU_HASH:
    case BPF_MAP_TYPE_LRU_PERCPU_HASH:
      return (std::size_t{info.value_length} + 7) / 8 * 8 * bpf_possible_cpus();
    default:
      return info.value_length;
  }
}

bool bpf_look_up(int map, std::span<const uint8_t> key, std::span<uint8_t> value) {
  const BpfMapInfo info = checked(map, key.size(), "look-up");
  check_value(info, value.size(), "look-up");
  bpf_attr attributes = element(map, key.data(), value.data());
  if (call(BPF_MAP_LOOKUP_ELEM, attributes) == 0) return true;
  if (errno == ENOENT) return false;
  throw BpfError{"bpf: look-up in map " + info.name, errno, {}};
}

void bpf_update(int map, std::span<const uint8_t> key, std::span<const uint8_t> value) {
  const BpfMapInfo info = checked(map, key.size(), "update");
  check_value(info, value.size(), "update");
  bpf_attr attributes = element(map, key.data(), value.data());
  if (call(BPF_MAP_UPDATE_ELEM, attributes) != 0) throw BpfError{"bpf: update in map " + info.name, errno, {}};
}

bool bpf_remove(int map, std::span<const uint8_t> key) {
  const BpfMapInfo info = checked(map, key.size(), "removal");
  bpf_attr attributes = element(map, key.data(), nullptr);
  if (call(BPF_MAP_DELETE_ELEM, attributes) == 0) return true;
  if (errno == ENOENT) return false;
  throw BpfError{"bpf: removal in map " + info.name, errno, {}};
}

bool bpf_next_key(int map, std::span<const uint8_t> key, std::span<uint8_t> next) {
  const BpfMapInfo info = checked(map, next.size(), "walk");
  if (!key.empty() && key.size() != next.size()) throw BpfError{"bpf: walk in map " + info.name, EINVAL, {}};
  bpf_attr attributes = element(map, key.empty() ? nullptr : key.data(), next.data());  // next_key lies over value
  if (call(BPF_MAP_GET_NEXT_KEY, attributes) == 0) return true;
  if (errno == ENOENT) return false;
  throw BpfError{"bpf: walk in map " + info.name, errno, {}};
}

void bpf_pin(int fd, const std::string& path) {
  bpf_attr attributes = empty();
  attributes.pathname = address_of(path.c_str());
  attributes.bpf_fd = static_cast<uint32_t>(fd);
  if (call(BPF_OBJ_PIN, attributes) != 0) throw BpfError{"bpf: pin " + path, errno, {}};
}

UniqueFd bpf_open_pinned(const std::string& path) {
  bpf_attr attributes = empty();
  attributes.pathname = address_of(path.c_str());
  UniqueFd fd(call(BPF_OBJ_GET, attributes));
  if (fd.get() < 0) throw BpfError{"bpf: open " + path, errno, {}};
  return fd;
}

BpfProgramInfo bpf_program_info(int program) {
  auto info = info_of<struct ::bpf_prog_info>(program, "program");
  BpfProgramInfo result;
  result.id = info.id;
  result.type = info.type;
  result.name = std::string(info.name, strnlen(info.name, sizeof info.name));
  for (const uint8_t byte : info.tag) {
    char text[3];
    std::snprintf(text, sizeof text, "%02x", byte);
    result.tag += text;
  }
  result.maps.resize(info.nr_map_ids);
  if (!result.maps.empty()) {
    const uint32_t count = info.nr_map_ids;
    std::memset(&info, 0, sizeof info);
    info.nr_map_ids = count;
    info.map_ids = address_of(result.maps.data());
    get_info(program, info, "program");
    result.maps.resize(std::min(count, info.nr_map_ids));
  }
  return result;
}

UniqueFd bpf_open_program(uint32_t id) { return open_by_id(BPF_PROG_GET_FD_BY_ID, id, "program"); }
UniqueFd bpf_open_map(uint32_t id) { return open_by_id(BPF_MAP_GET_FD_BY_ID, id, "map"); }

UniqueFd bpf_link_xdp(int program, uint32_t interface_index, uint32_t flags) {
  bpf_attr attributes = empty();
  attributes.link_create.prog_fd = static_cast<uint32_t>(program);
  attributes.link_create.target_ifindex = interface_index;
  attributes.link_create.attach_type = BPF_XDP;
  attributes.link_create.flags = flags;
  UniqueFd fd(call(BPF_LINK_CREATE, attributes));
  if (fd.get() < 0) throw BpfError{"bpf: link to interface " + std::to_string(interface_index), errno, {}};
  return fd;
}

BpfLinkInfo bpf_link_info(int link) {
  const auto info = info_of<struct ::bpf_link_info>(link, "link");
  BpfLinkInfo result;
  result.id = info.id;
  result.type = info.type;
  result.program = info.prog_id;
  if (info.type == BPF_LINK_TYPE_XDP) result.interface_index = info.xdp.ifindex;
  return result;
}

void bpf_update_link(int link, int program) {
  bpf_attr attributes = empty();
  attributes.link_update.link_fd = static_cast<uint32_t>(link);
  attributes.link_update.new_prog_fd = static_cast<uint32_t>(program);
  if (call(BPF_LINK_UPDATE, attributes) != 0) throw BpfError{"bpf: another program for the link", errno, {}};
}

void bpf_detach_link(int link) {
  bpf_attr attributes = empty();
  attributes.link_detach.link_fd = static_cast<uint32_t>(link);
  if (call(BPF_LINK_DETACH, attributes) != 0) throw BpfError{"bpf: detach link", errno, {}};
}

BpfTestResult bpf_test_run(const BpfTestOrder& order) {
  BpfTestResult result;
  bpf_attr attributes = empty();
  attributes.test.prog_fd = static_cast<uint32_t>(order.program);
  attributes.test.data_in = address_of(order.data.data());
  attributes.test.data_size_in = static_cast<uint32_t>(order.data.size());
  attributes.test.repeat = order.repeat;
  if (order.live) {
    attributes.test.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
    attributes.test.batch_size = order.batch;
  } else {
    result.data.resize(order.data.size() + kTestRoom);
    attributes.test.data_out = address_of(result.data.data());
    attributes.test.data_size_out = static_cast<uint32_t>(result.data.size());
  }
  xdp_md context{};
  if (order.ingress_interface != 0) {
    context.data_end = static_cast<uint32_t>(order.data.size());
    context.ingress_ifindex = order.ingress_interface;
    context.rx_queue_index = order.queue;
    attributes.test.ctx_in = address_of(&context);
    attributes.test.ctx_size_in = sizeof context;
  }
  if (call(BPF_PROG_TEST_RUN, attributes) != 0) throw BpfError{"bpf: test run", errno, {}};
  result.action = attributes.test.retval;
  result.nanoseconds = attributes.test.duration;
  result.data.resize(order.live ? 0 : std::min<std::size_t>(attributes.test.data_size_out, result.data.size()));
  return result;
}

uint32_t bpf_possible_cpus() {
  // "0-3", "0,2-5": per-CPU maps have a value for each of these, present or not. It never changes after boot.
  static const uint32_t count = [] {
    std::ifstream file("/sys/devices/system/cpu/possible");
    uint32_t found = 0;
    for (std::string part; std::getline(file, part, ',');) {
      unsigned first = 0;
      unsigned last = 0;
      const int fields = std::sscanf(part.c_str(), "%u-%u", &first, &last);
      if (fields == 1) found++;
      if (fields == 2 && last >= first) found += last - first + 1;
    }
    return found;
  }();
  if (count == 0) throw BpfError{"read /sys/devices/system/cpu/possible", ENOENT, {}};
  return count;
}

BpffsFolder bpffs_open(const std::string& path, int process, bool may_mount) {
  BpffsFolder folder;
  with_mounts_of(process, [&] {
    const bool there = on_bpffs(path);
    if (!there && !may_mount) return;
    make_folders(path);
    if (!there) {
      // The source's name says in the list of mounts whose it is.
      if (mount("designator", path.c_str(), "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") != 0) {
        throw BpfError{"mount a bpffs on " + path, errno, {}};
      }
      folder.mounted = true;
    }
    folder.fd = UniqueFd(open(path.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (folder.fd.get() < 0) throw BpfError{"open " + path, errno, {}};
  });
  return folder;
}

void bpffs_unmount(const std::string& path, int process) {
  with_mounts_of(process, [&] {
    if (umount2(path.c_str(), UMOUNT_NOFOLLOW) != 0) throw BpfError{"umount " + path, errno, {}};
    rmdir(path.c_str());  // stays when it holds what was there before
  });
}

}  // namespace td
