// class PacketRing: the AF_PACKET adapter's native half.
#include <memory>

#include "bind_ring_options.h"
#include "bindings.h"

namespace td {
namespace {

constexpr uint32_t kWaitLimitMs = 1000;

Napi::Object make_columns(Napi::Env env) {
  auto columns = Napi::Object::New(env);
  columns.Set("offset", Napi::Int32Array::New(env, TD_COLUMN_LENGTH));
  columns.Set("length", Napi::Int32Array::New(env, TD_COLUMN_LENGTH));
  columns.Set("ingress", Napi::Uint8Array::New(env, TD_COLUMN_LENGTH));
  columns.Set("egress", Napi::Uint8Array::New(env, TD_COLUMN_LENGTH));
  columns.Set("flags", Napi::Uint8Array::New(env, TD_COLUMN_LENGTH));
  columns.Set("verdict", Napi::Int32Array::New(env, TD_COLUMN_LENGTH));
  return columns;
}

class PacketRingObject : public Napi::ObjectWrap<PacketRingObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    using Self = PacketRingObject;
    return DefineClass(env, "PacketRing",
                       {InstanceMethod<&Self::Turn>("turn"), InstanceMethod<&Self::Rewrite>("rewrite"),
                        InstanceMethod<&Self::Statistics>("statistics"), InstanceMethod<&Self::Close>("close"),
                        InstanceAccessor<&Self::Frames>("frames"), InstanceAccessor<&Self::GetColumns>("columns"),
                        InstanceAccessor<&Self::ScratchOffset>("scratchOffset")});
  }

  explicit PacketRingObject(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<PacketRingObject>(info), env_(info.Env()) {
    const Napi::Object options = options_of(info, "PacketRing");
    const RingOptions wanted = read_ring_options(options);
    const TableView table = read_table(options, &hold_);
    const Counters counters = read_counters(options, &hold_);
    double* clock = read_clock(options, &hold_);
    const Napi::Object columns = make_columns(env_);
    const Columns views = read_columns(columns, &hold_);
    try {
      ring_ = std::make_unique<PacketRing>(wanted);
    } catch (const SystemError& error) {
      throw make_error(env_, error.what, error.error);
    }
    ring_->bind(table, views, counters, clock);
    columns_ = Napi::Persistent(columns);
    auto* memory = new std::shared_ptr<RingMemory>(ring_->memory());
    const auto bytes = (*memory)->bytes();
    const auto finalize = [](Napi::Env, void*, std::shared_ptr<RingMemory>* owned) { delete owned; };
    frames_ = Napi::Persistent(Napi::ArrayBuffer::New(env_, bytes.data(), bytes.size(), finalize, memory));
    // A terminated worker runs this before anything of it is freed.
    napi_add_env_cleanup_hook(env_, end, this);
  }
  ~PacketRingObject() override {
    if (ring_ != nullptr) napi_remove_env_cleanup_hook(env_, end, this);
  }

 private:
  static void end(void* self) { static_cast<PacketRingObject*>(self)->ring_->close(); }

  /// Throws unless everything that the ring points at is still there.
  void check() {
    if (ring_->closed()) throw make_error(env_, "the packet ring is closed", EBADF);
    hold_.check(env_);
  }
  Napi::Value Turn(const Napi::CallbackInfo& info) {
    const uint32_t received = frame_count(info[0], TD_BATCH_CAPACITY);
    const uint32_t scratch = frame_count(info[1], TD_SCRATCH_SLOTS);
    const auto wait = static_cast<uint32_t>(integer(info[2], "waitMs", kWaitLimitMs));
    check();
    try {
      return Napi::Number::New(env_, ring_->turn(received, scratch, wait));
    } catch (const SystemError& error) {
      throw make_error(env_, error.what, error.error);
    }
  }
  Napi::Value Rewrite(const Napi::CallbackInfo& info) {
    const uint32_t received = frame_count(info[0], TD_BATCH_CAPACITY);
    const uint32_t scratch = frame_count(info[1], TD_SCRATCH_SLOTS);
    check();
    ring_->rewrite(received, scratch);
    return env_.Undefined();
  }
  Napi::Value Statistics(const Napi::CallbackInfo&) {
    if (!ring_->closed()) {
      hold_.check(env_);
      ring_->pull_statistics();
    }
    auto result = Napi::Object::New(env_);
    result.Set("received", static_cast<double>(ring_->frames_seen()));
    result.Set("lost", static_cast<double>(ring_->frames_lost()));
    return result;
  }
  Napi::Value Close(const Napi::CallbackInfo&) {
    ring_->close();
    return env_.Undefined();
  }
  Napi::Value Frames(const Napi::CallbackInfo&) { return frames_.Value(); }
  Napi::Value GetColumns(const Napi::CallbackInfo&) { return columns_.Value(); }
  Napi::Value ScratchOffset(const Napi::CallbackInfo&) {
    return Napi::Number::New(env_, static_cast<double>(ring_->scratch_offset()));
  }

  Napi::Env env_;
  BufferHold hold_;
  std::unique_ptr<PacketRing> ring_;
  Napi::ObjectReference columns_;
  Napi::Reference<Napi::ArrayBuffer> frames_;
};

Napi::Value probe(const Napi::CallbackInfo& info) {
  try {
    probe_packet_socket();
  } catch (const SystemError& error) {
    throw make_error(info.Env(), error.what, error.error);
  }
  return info.Env().Undefined();
}

}  // namespace

void init_packet_ring(Napi::Env env, Napi::Object exports) {
  exports.Set("PacketRing", PacketRingObject::define(env));
  exports.Set("probePacketSocket", Napi::Function::New(env, probe, "probePacketSocket"));
}

}  // namespace td
