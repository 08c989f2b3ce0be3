// The table's memory: a file or memfd, mapped into each thread that uses it.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>


#include "bindings.h"
#include "napi_util.h"
#include "unique_fd.h"

namespace td {
namespace {

/// One thread's mapping. Unmapped when its ArrayBuffer is collected, which the end of the thread brings about too.
struct Mapping {
  void* base;
  std::size_t length;
  ~Mapping() { munmap(base, length); }
};

/// openTable(path | null, length): { fd, created }
Napi::Value open_table(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto length = static_cast<off_t>(info[1].ToNumber().DoubleValue());
  if (length <= 0) throw Napi::RangeError::New(env, "openTable: length");
  const bool in_file = info[0].IsString();
  const std::string path = in_file ? info[0].As<Napi::String>().Utf8Value() : "memory";
  UniqueFd fd(in_file ? open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : memfd_create("designator-table", MFD_CLOEXEC));
  if (fd.get() < 0) throw make_error(env, "open " + path, errno);
  struct stat status{};
  if (fstat(fd.get(), &status) != 0) throw make_error(env, "fstat " + path, errno);
  const bool created = status.st_size == 0;
  if (created) {
    if (ftruncate(fd.get(), length) != 0) throw make_error(env, "ftruncate " + path, errno);
    // Reserved now: a full file system must show here and not as SIGBUS under load.
    if (in_file) {
      const int error = posix_fallocate(fd.get(), 0, length);
      if (error != 0) throw make_error(env, "reserving " + std::to_string(length) + " bytes for " + path, error);
    }
  } else if (status.st_size < length) {
    throw make_error(env, path + " is shorter than the table", EINVAL);
  }
  auto result = Napi::Object::New(env);
  result.Set("created", Napi::Boolean::New(env, created));
  const int raw = fcntl(fd.get(), F_DUPFD_CLOEXEC, 0);
  if (raw < 0) throw make_error(env, "dup of " + path, errno);
  result.Set("fd", raw);
  return result;
}

/// mapTable(fd, length): ArrayBuffer over this thread's own shared mapping.
Napi::Value map_table(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const int fd = info[0].ToNumber().Int32Value();
  const auto length = static_cast<std::size_t>(info[1].ToNumber().DoubleValue());
  void* base = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) throw make_error(env, "mmap of the table", errno);
  // Huge pages where the file system offers them; a refusal changes nothing.
  madvise(base, length, MADV_HUGEPAGE);
  auto* mapping = new Mapping{base, length};
  return Napi::ArrayBuffer::New(env, base, length, [](Napi::Env, void*, Mapping* owned) { delete owned; }, mapping);
}

/// unmapTable(buffer): detaches the ArrayBuffer; its finalizer unmaps.
Napi::Value unmap_table(const Napi::CallbackInfo& info) {
  if (!info[0].IsArrayBuffer()) throw Napi::TypeError::New(info.Env(), "unmapTable: an ArrayBuffer is needed");
  info[0].As<Napi::ArrayBuffer>().Detach();
  return info.Env().Undefined();
}

}  // namespace

void init_table(Napi::Env env, Napi::Object exports) {
  exports.Set("openTable", Napi::Function::New(env, open_table, "openTable"));
  exports.Set("mapTable", Napi::Function::New(env, map_table, "mapTable"));
  exports.Set("unmapTable", Napi::Function::New(env, unmap_table, "unmapTable"));
}

}  // namespace td
