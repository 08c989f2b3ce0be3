// Small helpers between N-API values and the plain core. Everything that JavaScript hands over is checked here, so that
// a wrong value is an exception and never a wild pointer.
#pragma once

#include <napi.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace td {

/// An Error with `code` (errno's name) and a message that names the call and what it was about.
inline Napi::Error make_error(Napi::Env env, const std::string& what, int error) {
  Napi::Error result = Napi::Error::New(env, what + ": " + std::strerror(error));
  const char* name = strerrorname_np(error);
  result.Set("code", Napi::String::New(env, name != nullptr ? name : "UNKNOWN"));
  return result;
}

/// The kinds of typed array that hold a T.
template <typename T>
bool holds(napi_typedarray_type type) {
  if constexpr (std::is_same_v<T, uint8_t>) return type == napi_uint8_array || type == napi_uint8_clamped_array;
  if constexpr (std::is_same_v<T, int32_t>) return type == napi_int32_array || type == napi_uint32_array;
  if constexpr (std::is_same_v<T, double>) return type == napi_float64_array;
  return false;
}

/// The items of a typed array. `.ArrayBuffer().Data()` must not be used: it refuses a SharedArrayBuffer.
template <typename T>
std::span<T> typed(Napi::Value value, const char* name, std::size_t least) {
  const Napi::Env env = value.Env();
  if (!value.IsTypedArray()) throw Napi::TypeError::New(env, std::string(name) + ": a typed array is needed");
  napi_typedarray_type type{};
  std::size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr) != napi_ok) {
    throw Napi::Error::New(env);
  }
  if (!holds<T>(type)) throw Napi::TypeError::New(env, std::string(name) + ": a typed array of another type is needed");
  if (length < least) {
    throw Napi::RangeError::New(env, std::string(name) + ": at least " + std::to_string(least) + " items are needed");
  }
  return {static_cast<T*>(data), length};
}

/// The bytes of an ArrayBuffer, a SharedArrayBuffer or a Uint8Array over one.
inline std::span<uint8_t> buffer_bytes(Napi::Value value, const char* name) {
  if (value.IsArrayBuffer()) {
    auto buffer = value.As<Napi::ArrayBuffer>();
    return {static_cast<uint8_t*>(buffer.Data()), buffer.ByteLength()};
  }
  if (value.IsObject() && !value.IsTypedArray()) {
    // N-API has no word for a SharedArrayBuffer, but it has for a view of one.
    const Napi::Env env = value.Env();
    if (value.As<Napi::Object>().InstanceOf(env.Global().Get("SharedArrayBuffer").As<Napi::Function>())) {
      return typed<uint8_t>(env.Global().Get("Uint8Array").As<Napi::Function>().New({value}), name, 0);
    }
  }
  return typed<uint8_t>(value, name, 0);
}

/// Buffers that an object of ours goes on using: kept from being collected, and looked after in case one is detached
/// (`unmapTable`, a transfer), because its memory is gone then.
class BufferHold {
 public:
  /// `value`: a buffer or a view of one.
  void keep(Napi::Value value) {
    Napi::Value buffer = value;
    if (value.IsTypedArray()) {
      napi_value under = nullptr;
      napi_get_typedarray_info(value.Env(), value, nullptr, nullptr, nullptr, &under, nullptr);
      buffer = Napi::Value(value.Env(), under);
    }
    kept_.push_back(Napi::Reference<Napi::Value>::New(buffer, 1));
  }
  /// Throws when a buffer has been detached. To be called before every use.
  void check(Napi::Env env) const {
    for (const auto& buffer : kept_) {
      bool detached = false;
      // A SharedArrayBuffer cannot be detached, and says so.
      napi_is_detached_arraybuffer(env, buffer.Value(), &detached);
      if (detached) throw Napi::Error::New(env, "a buffer in use has been detached");
    }
  }

 private:
  std::vector<Napi::Reference<Napi::Value>> kept_;
};

/// `value` as an integer of 0 … `limit`.
inline uint64_t integer(Napi::Value value, const char* name, double limit) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= 0 && number <= limit) || std::floor(number) != number) {
    throw Napi::RangeError::New(value.Env(), std::string(name) + ": an integer from 0 to " +
                                                 std::to_string(static_cast<uint64_t>(limit)) + " is needed");
  }
  return static_cast<uint64_t>(number);
}

inline uint32_t number(const Napi::Object& object, const char* name, uint32_t limit = 0xffffffff) {
  return static_cast<uint32_t>(integer(object.Get(name), name, limit));
}

inline int32_t number_or(const Napi::Object& object, const char* name, int32_t otherwise) {
  const Napi::Value value = object.Get(name);
  return value.IsNumber() ? value.As<Napi::Number>().Int32Value() : otherwise;
}

inline Napi::Object object(const Napi::Object& from, const char* name) {
  const Napi::Value value = from.Get(name);
  if (!value.IsObject()) throw Napi::TypeError::New(from.Env(), std::string(name) + ": an object is needed");
  return value.As<Napi::Object>();
}

inline Napi::Object options_of(const Napi::CallbackInfo& info, const char* name) {
  if (!info[0].IsObject()) throw Napi::TypeError::New(info.Env(), std::string(name) + ": options are needed");
  return info[0].As<Napi::Object>();
}

/// A file descriptor.
inline int descriptor(Napi::Value value) { return static_cast<int>(integer(value, "file descriptor", 0x7fffffff)); }

}  // namespace td
