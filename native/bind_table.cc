// openTable, mapTable, unmapTable: the table's memory as ArrayBuffers.
#include <algorithm>
#include <memory>
#include <vector>

#include "bindings.h"
#include "napi_util.h"
#include "table.h"

namespace td {
namespace {

constexpr double kLengthLimit = 9007199254740991.0;  // what a number holds exactly

/// The mappings of one JavaScript environment. Its clean-up hook unmaps what is left, also when a worker is terminated.
struct Mappings {
  std::vector<std::shared_ptr<TableMapping>> live;
};

/// openTable(path | null, length): { fd, created }
Napi::Value open_table(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const uint64_t length = integer(info[1], "length", kLengthLimit);
  if (length == 0) throw Napi::RangeError::New(env, "length: more than 0 is needed");
  if (!info[0].IsString() && !info[0].IsNull()) throw Napi::TypeError::New(env, "path: a string or null is needed");
  try {
    OpenTable table =
        info[0].IsNull() ? open_table_memory(length) : open_table_file(info[0].As<Napi::String>().Utf8Value(), length);
    auto result = Napi::Object::New(env);
    result.Set("created", Napi::Boolean::New(env, table.created));
    result.Set("fd", Napi::Number::New(env, table.fd.get()));
    table.fd.release();
    return result;
  } catch (const TableError& error) {
    throw make_error(env, error.what, error.error);
  }
}

/// mapTable(fd, length): ArrayBuffer over this thread's own shared mapping.
Napi::Value map_table(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto* mappings = static_cast<Mappings*>(info.Data());
  const int fd = descriptor(info[0]);
  const auto length = static_cast<std::size_t>(integer(info[1], "length", kLengthLimit));
  try {
    auto mapping = std::make_shared<TableMapping>(fd, length);
    std::erase_if(mappings->live, [](const auto& other) { return other->base() == nullptr; });
    mappings->live.push_back(mapping);
    // The finalizer may run after the environment's clean-up, so it has a share of its own.
    auto* share = new std::shared_ptr<TableMapping>(mapping);
    const auto finalize = [](Napi::Env, void*, std::shared_ptr<TableMapping>* owned) {
      (*owned)->unmap();
      delete owned;
    };
    return Napi::ArrayBuffer::New(env, mapping->base(), length, finalize, share);
  } catch (const TableError& error) {
    throw make_error(env, error.what, error.error);
  }
}

/// unmapTable(buffer): detaches the ArrayBuffer, so that all its views are empty, and gives the address space back.
Napi::Value unmap_table(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto& live = static_cast<Mappings*>(info.Data())->live;
  if (!info[0].IsArrayBuffer()) throw Napi::TypeError::New(env, "unmapTable: an ArrayBuffer is needed");
  auto buffer = info[0].As<Napi::ArrayBuffer>();
  if (buffer.IsDetached()) return env.Undefined();
  void* base = buffer.Data();
  const auto found = std::find_if(live.begin(), live.end(), [&](const auto& mapping) {
    return mapping->base() != nullptr && mapping->base() == base;
  });
  if (found == live.end()) throw Napi::TypeError::New(env, "unmapTable: this buffer is not from mapTable");
  buffer.Detach();
  (*found)->unmap();
  live.erase(found);
  return env.Undefined();
}

}  // namespace

void init_table(Napi::Env env, Napi::Object exports) {
  auto* mappings = new Mappings;
  env.AddCleanupHook(
      [](Mappings* owned) {
        for (const auto& mapping : owned->live) mapping->unmap();
        delete owned;
      },
      mappings);
  exports.Set("openTable", Napi::Function::New(env, open_table, "openTable"));
  exports.Set("mapTable", Napi::Function::New(env, map_table, "mapTable", mappings));
  exports.Set("unmapTable", Napi::Function::New(env, unmap_table, "unmapTable", mappings));
}

}  // namespace td
