#include "table.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdint>

#include "bpf_sys.h"
#include "layout.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

namespace td {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

void reserve(int fd, uint64_t length, const std::string& what) {
  if (ftruncate(fd, static_cast<off_t>(length)) != 0) {
    throw TableError{"ftruncate of " + what + " to " + std::to_string(length) + " bytes", errno};
  }
  const int error = posix_fallocate(fd, 0, static_cast<off_t>(length));
  if (error != 0) throw TableError{"posix_fallocate of " + std::to_string(length) + " bytes for " + what, error};
}

/// A shared mapping that begins where a huge page may: address space to choose from is reserved first. MAP_FAILED and
/// errno as mmap.
void* map_aligned(int fd, std::size_t length) {
  const std::size_t room = length + kHugePage;
  void* reserved = mmap(nullptr, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) return MAP_FAILED;
  const auto start = reinterpret_cast<uintptr_t>(reserved);
  const uintptr_t aligned = (start + kHugePage - 1) & ~(kHugePage - 1);
  const std::size_t pages = (length + TD_PAGE_LENGTH - 1) & ~std::size_t{TD_PAGE_LENGTH - 1};
  void* base = mmap(reinterpret_cast<void*>(aligned), length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
  if (base == MAP_FAILED) {
    const int error = errno;
    munmap(reserved, room);
    errno = error;
    return MAP_FAILED;
  }
  if (aligned > start) munmap(reserved, aligned - start);
  const uintptr_t end = aligned + pages;
  if (start + room > end) munmap(reinterpret_cast<void*>(end), start + room - end);
  return base;
}

/// Bytes of a BPF array that may be mapped; 0 when the descriptor is of anything else.
uint64_t mappable_length(int fd) {
  try {
    const BpfMapInfo map = bpf_map_info(fd);
    if (map.type != BPF_MAP_TYPE_ARRAY || (map.flags & BPF_F_MMAPABLE) == 0) return 0;
    return (uint64_t{map.value_length} + 7) / 8 * 8 * map.entries;
  } catch (const BpfError&) {
    return 0;
  }
}

}  // namespace

OpenTable open_table_file(const std::string& path, uint64_t length) {
  OpenTable table{UniqueFd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)), false};
  if (table.fd.get() < 0) throw TableError{"open " + path, errno};
  // Held for as long as any descriptor of this opening lives: two processes must never write into one table.
  if (flock(table.fd.get(), LOCK_EX | LOCK_NB) != 0) throw TableError{"lock of " + path, errno};
  struct stat status {};
  if (fstat(table.fd.get(), &status) != 0) throw TableError{"fstat " + path, errno};
  if (!S_ISREG(status.st_mode)) throw TableError{"open " + path + " as the table", EINVAL};
  // An empty file is one whose maker ended before it had its length.
  table.created = status.st_size == 0;
  if (table.created) {
    try {
      reserve(table.fd.get(), length, path);
    } catch (const TableError&) {
      unlink(path.c_str());  // half a table would be in the next one's way
      throw;
    }
  } else if (static_cast<uint64_t>(status.st_size) < length) {
    throw TableError{
        "open " + path + ": it has " + std::to_string(status.st_size) + " bytes, not " + std::to_string(length),
        EINVAL};
  }
  return table;
}

OpenTable open_table_memory(uint64_t length) {
  OpenTable table{UniqueFd(memfd_create("tunnel-designator-table", MFD_CLOEXEC)), true};
  if (table.fd.get() < 0) throw TableError{"memfd_create", errno};
  reserve(table.fd.get(), length, "memory");
  return table;
}

TableMapping::TableMapping(int fd, std::size_t length) : base_(nullptr), length_(length) {
  struct stat status {};
  if (fstat(fd, &status) != 0) throw TableError{"fstat of the table", errno};
  // A BPF map is an anonymous inode of no length.
  const bool file = S_ISREG(status.st_mode) && status.st_size > 0;
  const uint64_t size = file ? static_cast<uint64_t>(status.st_size) : mappable_length(fd);
  // Pages beyond the end of the file would be SIGBUS at the first touch.
  if (length == 0 || size < length) {
    throw TableError{"mmap of " + std::to_string(length) + " bytes of a table of " + std::to_string(size), EINVAL};
  }
  base_ = map_aligned(fd, length);
  if (base_ == MAP_FAILED) {
    base_ = nullptr;
    throw TableError{"mmap of " + std::to_string(length) + " bytes of the table", errno};
  }
  // Huge pages, so that a look-up in a large table does not wait for page tables: where the file system offers them,
  // and else (memfd and tmpfs by default; Linux 6.1) by copying together what is there. A refusal, as for the memory of
  // a BPF map, changes nothing.
  madvise(base_, length, MADV_HUGEPAGE);
  madvise(base_, length, MADV_COLLAPSE);
}

void TableMapping::unmap() noexcept {
  if (base_ != nullptr) munmap(base_, length_);
  base_ = nullptr;
}

}  // namespace td
