// class XskSet (main thread) and class XskRing (a shard's): the `xdp` adapter's sockets.
#include "bind_ring_object.h"
#include "bind_xsk_options.h"

namespace td {
namespace {

constexpr uint32_t kQueueLimit = 256;
constexpr uint32_t kFrameLimit = 1U << 16;

XskCopy read_copy(const Napi::Object& options) {
  const std::string word = options.Get("copy").ToString();
  if (word == "auto") return XskCopy::kAuto;
  if (word == "copy") return XskCopy::kCopy;
  if (word == "zero-copy") return XskCopy::kZeroCopy;
  throw Napi::RangeError::New(options.Env(), "copy: auto, copy or zero-copy");
}

XskSetOptions read_set_options(const Napi::Object& options) {
  const Napi::Env env = options.Env();
  XskSetOptions wanted;
  const Napi::Value devices = options.Get("devices");
  if (!devices.IsArray()) throw Napi::TypeError::New(env, "devices: an array is needed");
  const auto list = devices.As<Napi::Array>();
  if (list.Length() == 0 || list.Length() > kDeviceLimit) throw Napi::RangeError::New(env, "devices: 1 to 8");
  for (uint32_t i = 0; i < list.Length(); i++) {
    const Napi::Value item = list.Get(i);
    if (!item.IsObject()) throw Napi::TypeError::New(env, "devices[]: an object is needed");
    const auto device = item.As<Napi::Object>();
    const uint32_t queues = number(device, "queues", kQueueLimit);
    if (queues == 0) throw Napi::RangeError::New(env, "devices[].queues: at least 1");
    wanted.devices.push_back({device.Get("name").ToString(), queues});
  }
  wanted.shards = number(options, "shards", TD_SHARD_LIMIT);
  wanted.chunk_length = number(options, "chunkLength", 4096);
  wanted.frames_per_queue = number(options, "framesPerQueue", kFrameLimit);
  wanted.copy = read_copy(options);
  const bool chunk_fits = wanted.chunk_length == 2048 || wanted.chunk_length == 4096;
  if (wanted.shards == 0 || !chunk_fits || wanted.frames_per_queue < TD_BATCH_CAPACITY) {
    throw Napi::RangeError::New(env, "shards: at least 1; chunkLength: 2048 or 4096; framesPerQueue: at least 256");
  }
  return wanted;
}

class XskSetObject : public Napi::ObjectWrap<XskSetObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    using Self = XskSetObject;
    return DefineClass(env, "XskSet",
                       {InstanceMethod<&Self::Reclaim>("reclaim"), InstanceMethod<&Self::Free>("free"),
                        InstanceMethod<&Self::Close>("close"), InstanceAccessor<&Self::Handle>("handle"),
                        InstanceAccessor<&Self::ZeroCopy>("zeroCopy"), InstanceAccessor<&Self::Sockets>("sockets")});
  }

  explicit XskSetObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<XskSetObject>(info) {
    const XskSetOptions options = read_set_options(options_of(info, "XskSet"));
    try {
      set_ = std::make_shared<XskSet>(options);
    } catch (const SystemError& error) {
      throw make_error(info.Env(), error.what, error.error);
    }
    handle_ = register_xsk_set(set_);
  }
  ~XskSetObject() override { close(); }

 private:
  void close() {
    if (set_ == nullptr) return;
    forget_xsk_set(handle_);
    set_.reset();
  }
  void check(Napi::Env env) const {
    if (set_ == nullptr) throw make_error(env, "the AF_XDP sockets are closed", EBADF);
  }

  Napi::Value Reclaim(const Napi::CallbackInfo& info) {
    check(info.Env());
    const auto shard = static_cast<uint32_t>(integer(info[0], "shard", set_->shards() - 1));
    return Napi::Number::New(info.Env(), set_->pool().reclaim(static_cast<uint8_t>(FramePool::kFirstShard + shard)));
  }
  Napi::Value Free(const Napi::CallbackInfo& info) {
    check(info.Env());
    return Napi::Number::New(info.Env(), set_->pool().available());
  }
  Napi::Value Close(const Napi::CallbackInfo& info) {
    close();
    return info.Env().Undefined();
  }
  Napi::Value Handle(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), handle_); }
  Napi::Value ZeroCopy(const Napi::CallbackInfo& info) {
    check(info.Env());
    auto all = Napi::Array::New(info.Env());
    for (const XskSet::Device& device : set_->devices()) {
      all.Set(all.Length(), Napi::Boolean::New(info.Env(), device.zero_copy));
    }
    return all;
  }
  /// { index, fd }, index = (device * queues + queue) * shards + shard.
  Napi::Value Sockets(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    check(env);
    auto all = Napi::Array::New(env);
    for (const XskSet::Lane& lane : set_->lanes()) {
      for (uint32_t shard = 0; shard < set_->shards(); shard++) {
        auto socket = Napi::Object::New(env);
        socket.Set("index", (lane.device * set_->queues() + lane.queue) * set_->shards() + shard);
        socket.Set("fd", lane.sockets[shard].fd.get());
        all.Set(all.Length(), socket);
      }
    }
    return all;
  }

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
