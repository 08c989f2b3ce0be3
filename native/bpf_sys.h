// bpf(2) without libbpf: one function a command. Plain C++; failures are thrown as BpfError.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "unique_fd.h"

struct bpf_insn;

namespace td {

/// A command that failed: what it was about, errno, and what the verifier wrote when it was the one who refused.
struct BpfError {
  std::string what;
  int error;
  std::string log;
};

struct BpfMapInfo {
  uint32_t id = 0;
  uint32_t type = 0;
  uint32_t key_length = 0;
  uint32_t value_length = 0;
  uint32_t entries = 0;
  uint32_t flags = 0;
  std::string name;
};

struct BpfProgramInfo {
  uint32_t id = 0;
  uint32_t type = 0;
  std::string name;
  /// Hash of the instructions as the kernel computes it, in hexadecimal.
  std::string tag;
  std::vector<uint32_t> maps;
};

struct BpfLinkInfo {
  uint32_t id = 0;
  uint32_t type = 0;
  uint32_t program = 0;
  /// 0 once the interface has gone or the link was detached.
  uint32_t interface_index = 0;
};

struct BpfProgramOrder {
  std::span<const bpf_insn> code;
  std::string name;
  std::string license;
  uint32_t expected_attach_type = 0;
};

struct BpfTestOrder {
  int program = -1;
  std::span<const uint8_t> data;
  uint32_t ingress_interface = 0;
  uint32_t queue = 0;
  uint32_t repeat = 1;
  bool live = false;
  uint32_t batch = 0;
};

struct BpfTestResult {
  uint32_t action = 0;
  uint32_t nanoseconds = 0;
  std::vector<uint8_t> data;
};

/// Every descriptor is close-on-exec. `id` of the order counts for nothing.
UniqueFd bpf_create_map(const BpfMapInfo& order);
/// An XDP program. A refusal is asked for once more, with the verifier's log.
UniqueFd bpf_load_xdp(const BpfProgramOrder& order);

BpfMapInfo bpf_map_info(int map);
/// Bytes of a value as bpf(2) hands it over: for all CPUs where the map has one for each. 0 where that is not known.
std::size_t bpf_value_length(const BpfMapInfo& info);

/// Key and value must have the map's lengths: EINVAL otherwise, before the kernel touches them.
bool bpf_look_up(int map, std::span<const uint8_t> key, std::span<uint8_t> value);
void bpf_update(int map, std::span<const uint8_t> key, std::span<const uint8_t> value);
/// False when there was none.
bool bpf_remove(int map, std::span<const uint8_t> key);
/// The key after `key` (empty: the first), false at the end.
bool bpf_next_key(int map, std::span<const uint8_t> key, std::span<uint8_t> next);

void bpf_pin(int fd, const std::string& path);
UniqueFd bpf_open_pinned(const std::string& path);
BpfProgramInfo bpf_program_info(int program);
UniqueFd bpf_open_program(uint32_t id);
UniqueFd bpf_open_map(uint32_t id);

UniqueFd bpf_link_xdp(int program, uint32_t interface_index, uint32_t flags);
BpfLinkInfo bpf_link_info(int link);
void bpf_update_link(int link, int program);
void bpf_detach_link(int link);

BpfTestResult bpf_test_run(const BpfTestOrder& order);
/// CPUs that per-CPU maps have a value for.
uint32_t bpf_possible_cpus();

struct BpffsFolder {
  /// O_PATH; pins are made and opened below /proc/self/fd/N, whatever namespace the folder is of. −1: there is no
  /// bpffs.
  UniqueFd fd;
  /// A bpffs was mounted for it.
  bool mounted = false;
};

/// The folder `path` of a bpffs, made where it is missing and its place is on a bpffs already; else, when `may_mount`,
/// as a new one. `process`: as that process sees the file system (0: this one), so that the mount outlives a namespace
/// that ends with us.
BpffsFolder bpffs_open(const std::string& path, int process, bool may_mount);
/// Takes a bpffs off `path` again, and the empty folder below it. Errors: EBUSY, somebody uses it.
void bpffs_unmount(const std::string& path, int process);

}  // namespace td
