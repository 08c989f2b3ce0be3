// The table's memory: a file, a memfd or a BPF array, mapped by every thread for itself. Plain C++; failures are thrown
// as TableError.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "unique_fd.h"

namespace td {

/// A system call that failed: the call with what it was about, and errno.
struct TableError {
  std::string what;
  int error;
};

struct OpenTable {
  UniqueFd fd;
  bool created = false;
};

/// Opens the file (mode 0600, not through a symbolic link), made with `length` bytes when it is not there or empty; an
/// existing one must be a regular file of at least that length. Its memory is reserved at once: a file system that is
/// full shows here and not as SIGBUS under traffic.
OpenTable open_table_file(const std::string& path, uint64_t length);
/// The same without a file.
OpenTable open_table_memory(uint64_t length);

/// One thread's shared mapping.
class TableMapping {
 public:
  TableMapping(int fd, std::size_t length);
  ~TableMapping() { unmap(); }
  TableMapping(const TableMapping&) = delete;
  TableMapping& operator=(const TableMapping&) = delete;
  [[nodiscard]] void* base() const noexcept { return base_; }
  [[nodiscard]] std::size_t length() const noexcept { return length_; }
  /// A second call does nothing.
  void unmap() noexcept;

 private:
  void* base_;
  std::size_t length_;
};

}  // namespace td
