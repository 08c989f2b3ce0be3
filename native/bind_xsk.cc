// class XskSet (main thread) and class XskRing (a shard's): the `xdp` adapter's sockets.
#include <memory>

#include "bind_ring_object.h"
#include "bind_xsk_options.h"

namespace td {
namespace {

XskCopy read_copy(const Napi::Object& options) {
  const std::string copy = options.Get("copy").ToString();
  if (copy == "auto") return XskCopy::kAuto;
  if (copy == "copy") return XskCopy::kCopy;
  if (copy == "zero-copy") return XskCopy::kZeroCopy;
  throw Napi::RangeError::New(options.Env(), "copy: auto, copy or zero-copy");
}

uint32_t at_least(const Napi::Object& options, const char* name, uint32_t least, uint32_t limit) {
  const uint32_t value = number(options, name, limit);
  if (value < least) {
    throw Napi::RangeError::New(options.Env(), std::string(name) + ": at least " + std::to_string(least));
  }
  return value;
}

XskSetOptions read_set_options(const Napi::Object& options) {
  const Napi::Env env = options.Env();
  XskSetOptions wanted;
  const Napi::Value devices = options.Get("devices");
  const uint32_t count = devices.IsArray() ? devices.As<Napi::Array>().Length() : 0;
  if (count == 0 || count > kDeviceLimit) {
    throw Napi::RangeError::New(env, "devices: 1 to " + std::to_string(kDeviceLimit));
  }
  for (uint32_t i = 0; i < count; i++) {
    const Napi::Value item = devices.As<Napi::Array>().Get(i);
    if (!item.IsObject()) throw Napi::TypeError::New(env, "devices[]: an object is needed");
    const auto device = item.As<Napi::Object>();
    const Napi::Value name = device.Get("name");
    if (!name.IsString()) throw Napi::TypeError::New(env, "devices[].name: a string is needed");
    wanted.devices.push_back({name.As<Napi::String>(), at_least(device, "queues", 1, kQueueLimit)});
  }
  wanted.shards = at_least(options, "shards", 1, TD_SHARD_LIMIT);
  wanted.chunk_length = number(options, "chunkLength", 4096);
  if (wanted.chunk_length != 2048 && wanted.chunk_length != 4096) {
    throw Napi::RangeError::New(env, "chunkLength: 2048 or 4096");
  }
  wanted.frames_per_queue = at_least(options, "framesPerQueue", kFramesPerQueueMin, kFramesPerQueueMax);
  wanted.copy = read_copy(options);
  return wanted;
}

class XskSetObject : public Napi::ObjectWrap<XskSetObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    using Self = XskSetObject;
    return DefineClass(env, "XskSet",
                       {InstanceMethod<&Self::Reclaim>("reclaim"), InstanceMethod<&Self::Free>("free"),
                        InstanceMethod<&Self::Usage>("usage"), InstanceMethod<&Self::Close>("close"),
                        InstanceAccessor<&Self::Handle>("handle"), InstanceAccessor<&Self::ZeroCopy>("zeroCopy"),
                        InstanceAccessor<&Self::Sockets>("sockets")});
  }

  explicit XskSetObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<XskSetObject>(info), env_(info.Env()) {
    const XskSetOptions wanted = read_set_options(options_of(info, "XskSet"));
    try {
      set_ = std::make_shared<XskSet>(wanted);
    } catch (const SystemError& error) {
      throw make_error(env_, error.what, error.error);
    }
    handle_ = register_xsk_set(set_);
    napi_add_env_cleanup_hook(env_, end, this);
  }
  ~XskSetObject() override {
    if (handle_ == 0) return;  // the constructor threw
    napi_remove_env_cleanup_hook(env_, end, this);
    close();
  }

 private:
  static void end(void* self) { static_cast<XskSetObject*>(self)->close(); }

  void close() {
    forget_xsk_set(handle_);
    set_.reset();
  }
  XskSet& check() {
    if (set_ == nullptr) throw make_error(env_, "the AF_XDP sockets are closed", EBADF);
    return *set_;
  }
  Napi::Value Reclaim(const Napi::CallbackInfo& info) {
    XskSet& set = check();
    return Napi::Number::New(env_, set.reclaim(static_cast<uint32_t>(integer(info[0], "shard", set.shards() - 1))));
  }
  Napi::Value Free(const Napi::CallbackInfo&) {
    return Napi::Number::New(env_, check().pool().count(kInPool, kInPool));
  }
  /// { frames, pool, kernel, sent, held: per shard }
  Napi::Value Usage(const Napi::CallbackInfo&) {
    XskSet& set = check();
    const FramePool& pool = set.pool();
    auto result = Napi::Object::New(env_);
    result.Set("frames", pool.frames());
    result.Set("pool", pool.count(kInPool, kInPool));
    result.Set("kernel", pool.count(kInKernel, kInKernel));
    result.Set("sent", pool.count(kSent, 0xffff));
    auto held = Napi::Array::New(env_, set.shards());
    for (uint32_t s = 0; s < set.shards(); s++)
      held.Set(s, pool.count(held_by(s), held_by(s)) + pool.count(spare_of(s), spare_of(s)));
    result.Set("held", held);
    return result;
  }
  Napi::Value Close(const Napi::CallbackInfo&) {
    close();
    return env_.Undefined();
  }
  Napi::Value Handle(const Napi::CallbackInfo&) { return Napi::Number::New(env_, handle_); }
  Napi::Value ZeroCopy(const Napi::CallbackInfo&) {
    XskSet& set = check();
    auto result = Napi::Array::New(env_, set.devices().size());
    for (uint32_t i = 0; i < set.devices().size(); i++) result.Set(i, set.zero_copy());
    return result;
  }
  /// [{ index, fd }]
  Napi::Value Sockets(const Napi::CallbackInfo&) {
    XskSet& set = check();
    auto result = Napi::Array::New(env_);
    uint32_t count = 0;
    for (uint32_t d = 0; d < set.devices().size(); d++) {
      const XskDevice& device = set.devices()[d];
      for (uint32_t at = 0; at < device.sockets.size(); at++) {
        auto item = Napi::Object::New(env_);
        item.Set("index", d * set.queues() * set.shards() + at);
        item.Set("fd", device.sockets[at].fd.get());
        result.Set(count++, item);
      }
    }
    return result;
  }

  Napi::Env env_;
  std::shared_ptr<XskSet> set_;
  uint32_t handle_ = 0;
};

struct XskRingMaker {
  static constexpr const char* name = "XskRing";
  static std::unique_ptr<XskRing> make(const Napi::Object& options) { return open_xsk_ring(options); }
};

}  // namespace

void init_xsk(Napi::Env env, Napi::Object exports) {
  exports.Set("XskSet", XskSetObject::define(env));
  exports.Set("XskRing", RingObject<XskRing, XskRingMaker>::define(env));
}

}  // namespace td
