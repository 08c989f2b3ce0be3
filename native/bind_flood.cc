// class Flood: the benchmarks' source of traffic.
#include <memory>

#include "bindings.h"
#include "flood.h"
#include "napi_util.h"

namespace td {
namespace {

constexpr double kSecondsLimit = 60;
constexpr uint32_t kFrameLimit = 65535;

class FloodObject : public Napi::ObjectWrap<FloodObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    using Self = FloodObject;
    return DefineClass(env, "Flood", {InstanceMethod<&Self::Run>("run"), InstanceMethod<&Self::Close>("close")});
  }

  explicit FloodObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<FloodObject>(info) {
    const Napi::Env env = info.Env();
    const Napi::Object options = options_of(info, "Flood");
    const Napi::Value device = options.Get("device");
    if (!device.IsString()) throw Napi::TypeError::New(env, "device: a string is needed");
    FloodOptions wanted;
    wanted.device = device.As<Napi::String>();
    wanted.head_length = number(options, "frameLength", kFrameLimit);
    wanted.count = number(options, "count", 1U << 24);
    if (wanted.head_length < 14 || wanted.count == 0) throw Napi::RangeError::New(env, "frames: too short or none");
    const std::size_t needed = std::size_t{wanted.head_length} * wanted.count;
    wanted.heads = typed<uint8_t>(options.Get("frames"), "frames", needed).first(needed);
    hold_.keep(options.Get("frames"));
    if (!options.Get("tail").IsUndefined()) {
      wanted.tail = typed<uint8_t>(options.Get("tail"), "tail", 0);
      if (wanted.tail.size() + wanted.head_length > kFrameLimit) throw Napi::RangeError::New(env, "tail: too long");
      hold_.keep(options.Get("tail"));
    }
    try {
      flood_ = std::make_unique<Flood>(wanted);
    } catch (const SystemError& error) {
      throw make_error(env, error.what, error.error);
    }
  }

 private:
  Napi::Value Run(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const Napi::Object options = options_of(info, "run");
    FloodOrder order;
    order.seconds = amount(options, "seconds", kSecondsLimit);
    order.rate = options.Get("ratePps").IsUndefined() ? 0 : amount(options, "ratePps", 1e9);
    if (!options.Get("limit").IsUndefined()) order.limit = integer(options.Get("limit"), "limit", 1e15);
    hold_.check(env);
    FloodResult done;
    try {
      done = flood_->run(order);
    } catch (const SystemError& error) {
      throw make_error(env, error.what, error.error);
    }
    auto result = Napi::Object::New(env);
    result.Set("sent", static_cast<double>(done.sent));
    result.Set("refused", static_cast<double>(done.refused));
    result.Set("seconds", done.seconds);
    return result;
  }
  Napi::Value Close(const Napi::CallbackInfo& info) {
    flood_->close();
    return info.Env().Undefined();
  }

  static double amount(const Napi::Object& options, const char* name, double limit) {
    const Napi::Value value = options.Get(name);
    const double result = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
    if (!(result >= 0 && result <= limit)) {
      throw Napi::RangeError::New(options.Env(),
                                  std::string(name) + ": a number from 0 to " + std::to_string(limit) + " is needed");
    }
    return result;
  }

  BufferHold hold_;
  std::unique_ptr<Flood> flood_;
};

}  // namespace

void init_flood(Napi::Env env, Napi::Object exports) { exports.Set("Flood", FloodObject::define(env)); }

}  // namespace td
