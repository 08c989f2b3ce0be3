// class PacketRing: the AF_PACKET adapter's native half.
#include <algorithm>
#include <memory>

#include "bind_options.h"
#include "bindings.h"
#include "packet_ring.h"

namespace td {
namespace {

constexpr uint32_t kWaitLimitMs = 1000;
constexpr uint32_t kSpinLimitMicros = 10000;

FanoutRole read_role(const Napi::Object& device) {
  const std::string role = device.Get("role").ToString();
  if (role == "outside") return FanoutRole::kOutside;
  if (role == "inside") return FanoutRole::kInside;
  if (role == "both") return FanoutRole::kBoth;
  throw Napi::RangeError::New(device.Env(), "devices[].role: outside, inside or both");
}

std::vector<RingDeviceOptions> read_devices(const Napi::Object& options) {
  const Napi::Value value = options.Get("devices");
  if (!value.IsArray()) throw Napi::TypeError::New(options.Env(), "devices: an array is needed");
  const auto list = value.As<Napi::Array>();
  if (list.Length() == 0 || list.Length() > kDeviceLimit) {
    throw Napi::RangeError::New(options.Env(), "devices: 1 to " + std::to_string(kDeviceLimit));
  }
  std::vector<RingDeviceOptions> devices;
  for (uint32_t i = 0; i < list.Length(); i++) {
    const Napi::Value item = list.Get(i);
    if (!item.IsObject()) throw Napi::TypeError::New(options.Env(), "devices[]: an object is needed");
    const auto device = item.As<Napi::Object>();
    const Napi::Value name = device.Get("name");
    if (!name.IsString()) throw Napi::TypeError::New(options.Env(), "devices[].name: a string is needed");
    devices.push_back({name.As<Napi::String>(), read_role(device)});
  }
  return devices;
}

uint32_t optional(const Napi::Object& options, const char* name, uint32_t otherwise, uint32_t limit) {
  return options.Get(name).IsUndefined() ? otherwise : number(options, name, limit);
}

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
    RingOptions wanted;
    wanted.devices = read_devices(options);
    wanted.ports = read_ports(options, static_cast<uint32_t>(wanted.devices.size()));
    const Napi::Object fanout = object(options, "fanout");
    wanted.fanout_group = number_or(fanout, "group", -1);
    wanted.shards = number(fanout, "shards", 256);
    wanted.block_length = optional(options, "blockLength", kBlockLength, 1U << 30);
    wanted.block_count = optional(options, "blockCount", kBlockCount, 1U << 20);
    wanted.spin_micros = optional(options, "spinMicros", kSpinMicros, kSpinLimitMicros);
    wanted.wake_fd = number_or(options, "wakeFd", -1);
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
    hold_.check(env_);
    ring_->pull_statistics();
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
