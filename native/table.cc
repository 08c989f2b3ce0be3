#include "table.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>

namespace td {
namespace {

void reserve(int fd, uint64_t length, const std::string& what) {
  if (ftruncate(fd, static_cast<off_t>(length)) != 0) {
    throw TableError{"ftruncate of " + what + " to " + std::to_string(length) + " bytes", errno};
  }
  const int error = posix_fallocate(fd, 0, static_cast<off_t>(length));
  if (error != 0) throw TableError{"posix_fallocate of " + std::to_string(length) + " bytes for " + what, error};
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
  // Pages beyond the end of the file would be SIGBUS at the first touch.
  if (length == 0 || static_cast<uint64_t>(status.st_size) < length) {
    throw TableError{"mmap of " + std::to_string(length) + " bytes of a table of " + std::to_string(status.st_size),
                     EINVAL};
  }
  void* base = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) throw TableError{"mmap of " + std::to_string(length) + " bytes of the table", errno};
  base_ = base;
  // Huge pages where the file system offers them; a refusal changes nothing.
  madvise(base_, length, MADV_HUGEPAGE);
}

void TableMapping::unmap() noexcept {
  if (base_ != nullptr) munmap(base_, length_);
  base_ = nullptr;
}

}  // namespace td
