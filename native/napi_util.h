// Small helpers between N-API values and the plain core.
#pragma once

#include <napi.h>

#include <cerrno>
#include <cstring>
#include <span>
#include <string>

namespace td {

/// An Error with `code` (errno's name) and a message that names the call.
inline Napi::Error make_error(Napi::Env env, const std::string& what, int error) {
  Napi::Error result = Napi::Error::New(env, what + ": " + std::strerror(error));
  const char* name = strerrorname_np(error);
  result.Set("code", Napi::String::New(env, name != nullptr ? name : "UNKNOWN"));
  return result;
}

/// The bytes of a typed array. `.ArrayBuffer().Data()` must not be used: it refuses a SharedArrayBuffer.
template <typename T>
std::span<T> typed(Napi::Value value, const char* name, std::size_t least) {
  if (!value.IsTypedArray()) throw Napi::TypeError::New(value.Env(), std::string(name) + ": a typed array is needed");
  napi_typedarray_type type{};
  std::size_t length = 0;
  void* data = nullptr;
  napi_get_typedarray_info(value.Env(), value, &type, &length, &data, nullptr, nullptr);
  const auto array = value.As<Napi::TypedArray>();
  if (array.ElementSize() != sizeof(T) || length < least) {
    throw Napi::RangeError::New(value.Env(), std::string(name) + ": at least " + std::to_string(least) + " elements of " + std::to_string(sizeof(T)) + " bytes are needed");
  }
  return {static_cast<T*>(data), length};
}

/// The bytes of an ArrayBuffer or SharedArrayBuffer (through a Uint8Array over it).
inline std::span<uint8_t> buffer_bytes(Napi::Value value, const char* name) {
  if (value.IsArrayBuffer()) {
    auto buffer = value.As<Napi::ArrayBuffer>();
    return {static_cast<uint8_t*>(buffer.Data()), buffer.ByteLength()};
  }
  return typed<uint8_t>(value, name, 0);
}

inline uint32_t number(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (!value.IsNumber()) throw Napi::TypeError::New(object.Env(), std::string(name) + ": a number is needed");
  return value.As<Napi::Number>().Uint32Value();
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

}  // namespace td
