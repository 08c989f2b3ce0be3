// The JavaScript object around a ring of a shard (PacketRing of src/io/native.ts): the same for AF_PACKET and AF_XDP.
#pragma once

#include <memory>

#include "bind_ring_options.h"
#include "bindings.h"

namespace td {

constexpr uint32_t kWaitLimitMs = 1000;

inline Napi::Object make_columns(Napi::Env env) {
  auto columns = Napi::Object::New(env);
  columns.Set("offset", Napi::Int32Array::New(env, TD_COLUMN_LENGTH));
  columns.Set("length", Napi::Int32Array::New(env, TD_COLUMN_LENGTH));
  columns.Set("ingress", Napi::Uint8Array::New(env, TD_COLUMN_LENGTH));
  columns.Set("egress", Napi::Uint8Array::New(env, TD_COLUMN_LENGTH));
  columns.Set("flags", Napi::Uint8Array::New(env, TD_COLUMN_LENGTH));
  columns.Set("verdict", Napi::Int32Array::New(env, TD_COLUMN_LENGTH));
  return columns;
}

/// `Maker`: `name`, and `make(options)`, which opens the ring and may throw SystemError or a Napi::Error.
template <typename Ring, typename Maker>
class RingObject : public Napi::ObjectWrap<RingObject<Ring, Maker>> {
  using Self = RingObject<Ring, Maker>;
  using Base = Napi::ObjectWrap<Self>;

 public:
  static Napi::Function define(Napi::Env env) {
    return Base::DefineClass(
        env, Maker::name,
        {Base::template InstanceMethod<&Self::Turn>("turn"), Base::template InstanceMethod<&Self::Rewrite>("rewrite"),
         Base::template InstanceMethod<&Self::Statistics>("statistics"),
         Base::template InstanceMethod<&Self::Close>("close"), Base::template InstanceAccessor<&Self::Frames>("frames"),
         Base::template InstanceAccessor<&Self::GetColumns>("columns"),
         Base::template InstanceAccessor<&Self::ScratchOffset>("scratchOffset")});
  }

  explicit RingObject(const Napi::CallbackInfo& info) : Base(info), env_(info.Env()) {
    const Napi::Object options = options_of(info, Maker::name);
    const TableView table = read_table(options, &hold_);
    const Counters counters = read_counters(options, &hold_);
    double* clock = read_clock(options, &hold_);
    const Napi::Object columns = make_columns(env_);
    const Columns views = read_columns(columns, &hold_);
    try {
      ring_ = Maker::make(options);
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
  ~RingObject() override {
    if (ring_ != nullptr) napi_remove_env_cleanup_hook(env_, end, this);
  }

 private:
  static void end(void* self) { static_cast<Self*>(self)->ring_->close(); }

  /// Throws unless everything that the ring points at is still there.
  void check() {
    if (ring_->closed()) throw make_error(env_, std::string(Maker::name) + " is closed", EBADF);
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
  std::unique_ptr<Ring> ring_;
  Napi::ObjectReference columns_;
  Napi::Reference<Napi::ArrayBuffer> frames_;
};

}  // namespace td
