// class PacketRing: the AF_PACKET adapter's native half.
#include <algorithm>

#include "bind_options.h"
#include "bindings.h"
#include "packet_ring.h"

namespace td {
namespace {

class PacketRingObject : public Napi::ObjectWrap<PacketRingObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    using Self = PacketRingObject;
    return DefineClass(env, "PacketRing",
                       {InstanceMethod<&Self::Turn>("turn"), InstanceMethod<&Self::Rewrite>("rewrite"), InstanceMethod<&Self::Statistics>("statistics"),
                        InstanceMethod<&Self::Close>("close"), InstanceAccessor<&Self::Frames>("frames"), InstanceAccessor<&Self::GetColumns>("columns"),
                        InstanceAccessor<&Self::ScratchOffset>("scratchOffset")});
  }

  explicit PacketRingObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<PacketRingObject>(info) {
    const Napi::Env env = info.Env();
    if (!info[0].IsObject()) throw Napi::TypeError::New(env, "PacketRing: options are needed");
    const auto options = info[0].As<Napi::Object>();
    RingOptions wanted;
    const Napi::Value devices = options.Get("devices");
    if (!devices.IsArray() || devices.As<Napi::Array>().Length() == 0 || devices.As<Napi::Array>().Length() > 8) {
      throw Napi::RangeError::New(env, "devices: an array of 1 to 8 is needed");
    }
    const auto list = devices.As<Napi::Array>();
    for (uint32_t i = 0; i < list.Length(); i++) {
      const auto device = list.Get(i).As<Napi::Object>();
      const std::string role = device.Get("role").ToString();
      wanted.devices.push_back({device.Get("name").ToString(), role == "inside" ? 1 : role == "both" ? 2 : 0});
    }
    wanted.ports = read_ports(options, list.Length());
    const Napi::Object fanout = object(options, "fanout");
    wanted.fanout_group = number_or(fanout, "group", -1);
    wanted.shards = number(fanout, "shards");
    wanted.block_length = static_cast<uint32_t>(number_or(options, "blockLength", 1 << 18));
    wanted.block_count = static_cast<uint32_t>(number_or(options, "blockCount", 32));
    wanted.spin_micros = static_cast<uint32_t>(number_or(options, "spinMicros", 20));
    wanted.wake_fd = number_or(options, "wakeFd", -1);
    const TableView table = read_table(options);
    const Counters counters = read_counters(options);
    double* clock = typed<double>(options.Get("clock"), "clock", 1).data();
    try {
      ring_ = std::make_unique<PacketRing>(wanted);
    } catch (const SystemError& error) {
      throw make_error(env, error.what, error.error);
    }
    auto columns = Napi::Object::New(env);
    columns.Set("offset", Napi::Int32Array::New(env, TD_COLUMN_LENGTH));
    columns.Set("length", Napi::Int32Array::New(env, TD_COLUMN_LENGTH));
    columns.Set("ingress", Napi::Uint8Array::New(env, TD_COLUMN_LENGTH));
    columns.Set("egress", Napi::Uint8Array::New(env, TD_COLUMN_LENGTH));
    columns.Set("flags", Napi::Uint8Array::New(env, TD_COLUMN_LENGTH));
    columns.Set("verdict", Napi::Int32Array::New(env, TD_COLUMN_LENGTH));
    ring_->bind(table, read_columns(columns), counters, clock);
    columns_ = Napi::Persistent(columns);
    options_ = Napi::Persistent(options);  // keeps table, statistics and clock alive
    auto* memory = new std::shared_ptr<RingMemory>(ring_->memory());
    const auto bytes = (*memory)->bytes();
    frames_ = Napi::Persistent(
        Napi::ArrayBuffer::New(env, bytes.data(), bytes.size(), [](Napi::Env, void*, std::shared_ptr<RingMemory>* owned) { delete owned; }, memory));
  }

 private:
  Napi::Value Turn(const Napi::CallbackInfo& info) {
    const uint32_t received = frame_count(info[0], TD_BATCH_CAPACITY);
    const uint32_t scratch = frame_count(info[1], TD_SCRATCH_SLOTS);
    const uint32_t wait = std::min(info[2].ToNumber().Uint32Value(), 1000U);
    try {
      return Napi::Number::New(info.Env(), ring_->turn(received, scratch, wait));
    } catch (const SystemError& error) {
      throw make_error(info.Env(), error.what, error.error);
    }
  }
  Napi::Value Rewrite(const Napi::CallbackInfo& info) {
    ring_->rewrite(frame_count(info[0], TD_BATCH_CAPACITY), frame_count(info[1], TD_SCRATCH_SLOTS));
    return info.Env().Undefined();
  }
  Napi::Value Statistics(const Napi::CallbackInfo& info) {
    auto result = Napi::Object::New(info.Env());
    result.Set("received", static_cast<double>(ring_->frames_seen()));
    result.Set("lost", static_cast<double>(ring_->frames_lost()));
    return result;
  }
  Napi::Value Close(const Napi::CallbackInfo& info) {
    ring_->close();
    return info.Env().Undefined();
  }
  Napi::Value Frames(const Napi::CallbackInfo&) { return frames_.Value(); }
  Napi::Value GetColumns(const Napi::CallbackInfo&) { return columns_.Value(); }
  Napi::Value ScratchOffset(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), static_cast<double>(ring_->scratch_offset())); }

  std::unique_ptr<PacketRing> ring_;
  Napi::ObjectReference options_;
  Napi::ObjectReference columns_;
  Napi::Reference<Napi::ArrayBuffer> frames_;
};

}  // namespace

void init_packet_ring(Napi::Env env, Napi::Object exports) { exports.Set("PacketRing", PacketRingObject::define(env)); }

}  // namespace td
