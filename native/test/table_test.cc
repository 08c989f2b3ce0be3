#include "../table.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "../bpf_sys.h"
#include "check.h"

namespace {

struct Folder {
  std::string path;
  Folder() {
    char name[] = "/tmp/td-table-XXXXXX";
    const char* made = mkdtemp(name);
    path = made != nullptr ? made : "";
  }
  ~Folder() {
    unlink((path + "/table").c_str());
    unlink((path + "/link").c_str());
    rmdir(path.c_str());
  }
};

int error_of(const std::string& path, uint64_t length) {
  try {
    td::open_table_file(path, length);
  } catch (const td::TableError& error) {
    CHECK(error.what.find(path) != std::string::npos);
    return error.error;
  }
  return 0;
}

}  // namespace

TEST(table_file_is_made_once_private_and_reserved) {
  const Folder folder;
  const std::string path = folder.path + "/table";
  {
    const td::OpenTable table = td::open_table_file(path, 3 * 4096);
    CHECK(table.created);
    CHECK((fcntl(table.fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
    struct stat status {};
    fstat(table.fd.get(), &status);
    CHECK_EQ(status.st_size, 3 * 4096);
    CHECK(status.st_blocks * 512 >= 3 * 4096);
    CHECK_EQ(status.st_mode & 07777, 0600U);
    const td::TableMapping mapping(table.fd.get(), 3 * 4096);
    std::memset(mapping.base(), 7, mapping.length());
  }
  const td::OpenTable again = td::open_table_file(path, 3 * 4096);
  CHECK(!again.created);
  const td::TableMapping mapping(again.fd.get(), 3 * 4096);
  CHECK_EQ(static_cast<const uint8_t*>(mapping.base())[3 * 4096 - 1], 7);
}

TEST(table_file_that_cannot_be_the_table) {
  const Folder folder;
  const std::string path = folder.path + "/table";
  CHECK_EQ(error_of(folder.path + "/nowhere/table", 4096), ENOENT);
  CHECK_EQ(error_of(folder.path, 4096), EISDIR);
  CHECK_EQ(error_of("/dev/null", 4096), EINVAL);
  td::open_table_file(path, 4096);
  CHECK_EQ(error_of(path, 8192), EINVAL);  // too short for what is asked now
  CHECK_EQ(symlink(path.c_str(), (folder.path + "/link").c_str()), 0);
  CHECK_EQ(error_of(folder.path + "/link", 4096), ELOOP);
}

TEST(table_file_that_found_no_room_is_not_left_behind) {
  const Folder folder;
  const std::string path = folder.path + "/table";
  CHECK(error_of(path, uint64_t{1} << 60) != 0);
  CHECK(access(path.c_str(), F_OK) != 0);
}

TEST(table_memory_is_shared_between_mappings_and_unmapped_once) {
  const td::OpenTable table = td::open_table_memory(4096);
  CHECK(table.created);
  td::TableMapping one(table.fd.get(), 4096);
  td::TableMapping two(table.fd.get(), 4096);
  static_cast<uint8_t*>(one.base())[5] = 9;
  CHECK_EQ(static_cast<uint8_t*>(two.base())[5], 9);
  one.unmap();
  one.unmap();
  CHECK(one.base() == nullptr);
  CHECK_EQ(static_cast<uint8_t*>(two.base())[5], 9);
}

TEST(table_mapping_beyond_the_end_is_refused) {
  const td::OpenTable table = td::open_table_memory(4096);
  int error = 0;
  try {
    const td::TableMapping mapping(table.fd.get(), 4097);
  } catch (const td::TableError& thrown) {
    error = thrown.error;
  }
  CHECK_EQ(error, EINVAL);
}

TEST(table_mapping_of_a_bpf_array) {
  td::UniqueFd map;
  try {
    map = td::bpf_create_map({0, BPF_MAP_TYPE_ARRAY, 4, 64, 3 * 64, BPF_F_MMAPABLE, "td_table"});
  } catch (const td::BpfError& error) {
    CHECK(error.error == EPERM || error.error == ENOSYS);  // without the right to BPF there is nothing to map
    return;
  }
  td::TableMapping one(map.get(), 3 * 4096);
  td::TableMapping two(map.get(), 3 * 4096);
  CHECK_EQ(reinterpret_cast<uintptr_t>(one.base()) % (2 << 20), 0U);
  static_cast<uint8_t*>(one.base())[3 * 4096 - 1] = 9;
  CHECK_EQ(static_cast<uint8_t*>(two.base())[3 * 4096 - 1], 9);
  std::vector<uint8_t> value(64);
  const uint32_t last = 3 * 64 - 1;
  CHECK(td::bpf_look_up(map.get(), {reinterpret_cast<const uint8_t*>(&last), sizeof last}, value));
  CHECK_EQ(value[63], 9);
  one.unmap();
  CHECK_EQ(static_cast<uint8_t*>(two.base())[3 * 4096 - 1], 9);
  int error = 0;
  try {
    const td::TableMapping mapping(map.get(), 3 * 4096 + 1);
  } catch (const td::TableError& thrown) {
    error = thrown.error;
  }
  CHECK_EQ(error, EINVAL);
}

TEST(table_mapping_of_a_map_that_cannot_be_mapped) {
  td::UniqueFd map;
  try {
    map = td::bpf_create_map({0, BPF_MAP_TYPE_ARRAY, 4, 64, 64, 0, "plain"});
  } catch (const td::BpfError& error) {
    CHECK(error.error == EPERM || error.error == ENOSYS);
    return;
  }
  int error = 0;
  try {
    const td::TableMapping mapping(map.get(), 4096);
  } catch (const td::TableError& thrown) {
    error = thrown.error;
  }
  CHECK_EQ(error, EINVAL);
}
