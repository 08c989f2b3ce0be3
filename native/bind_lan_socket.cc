// class LanSocket: the frames of a gateway group, on the event loop of the thread that makes it.
#include "bindings.h"
#include "lan_filter.h"
#include "lan_socket.h"
#include "napi_util.h"
#include "packet_ring.h"
#include "read_watch.h"

namespace td {
namespace {

constexpr uint32_t kSlotLeast = 64;
constexpr uint32_t kSlotMost = 1U << 16;

class LanSocketObject : public Napi::ObjectWrap<LanSocketObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    using Self = LanSocketObject;
    return DefineClass(
        env, "LanSocket",
        {InstanceMethod<&Self::Receive>("receive"), InstanceMethod<&Self::Send>("send"),
         InstanceMethod<&Self::SetAddresses>("setAddresses"), InstanceMethod<&Self::SetStation>("setStation"),
         InstanceMethod<&Self::Statistics>("statistics"), InstanceMethod<&Self::Close>("close")});
  }

  /// LanSocket(options, onReadable)
  explicit LanSocketObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<LanSocketObject>(info), env_(info.Env()) {
    const Napi::Object options = options_of(info, "LanSocket");
    const Napi::Value device = options.Get("device");
    if (!device.IsString()) throw Napi::TypeError::New(env_, "device: a string is needed");
    LanSocketOptions wanted;
    wanted.device = device.As<Napi::String>();
    const std::vector<uint32_t> addresses = words(options.Get("addresses"));
    wanted.addresses = addresses;
    wanted.groups = typed<uint8_t>(options.Get("groups"), "groups", 0);
    wanted.mark = number(options, "mark");
    wanted.udp_port = static_cast<uint16_t>(number(options, "udpPort", 0xffff));
    wanted.slot_length = number(options, "slotLength", kSlotMost);
    if (wanted.slot_length < kSlotLeast) throw Napi::RangeError::New(env_, "slotLength: too short");
    const std::size_t memory = std::size_t{wanted.slot_length} * kLanBatch;
    wanted.received = typed<uint8_t>(keep(options, "received"), "received", memory);
    wanted.outgoing = typed<uint8_t>(keep(options, "outgoing"), "outgoing", memory);
    columns_ = typed<int32_t>(keep(options, "columns"), "columns", std::size_t{2} * kLanBatch);
    times_ = typed<double>(keep(options, "times"), "times", std::size_t{1} + kLanBatch);
    lengths_ = typed<int32_t>(keep(options, "lengths"), "lengths", kLanBatch);
    try {
      socket_ = LanSocket(wanted);
    } catch (const SystemError& error) {
      throw make_error(env_, error.what, error.error);
    }
    watch_.open(env_, socket_.fd(), info[1]);
    Ref();  // lives until close(): the event loop points at it
  }

 private:
  Napi::Value keep(const Napi::Object& options, const char* name) {
    const Napi::Value value = options.Get(name);
    if (value.IsTypedArray()) hold_.keep(value);
    return value;
  }
  std::vector<uint32_t> words(const Napi::Value& value) const {
    const auto items = typed<int32_t>(value, "addresses", 0);
    if (items.size() % 4 != 0 || items.size() / 4 > kLanAddressLimit) {
      throw Napi::RangeError::New(env_, "addresses: four words each, at most " + std::to_string(kLanAddressLimit));
    }
    return {items.begin(), items.end()};
  }
  void check() const {
    if (!watch_.is_open()) throw make_error(env_, "LanSocket is closed", EBADF);
    hold_.check(env_);
  }

  Napi::Value Receive(const Napi::CallbackInfo&) {
    check();
    return Napi::Number::New(env_, socket_.receive(columns_, times_));
  }
  Napi::Value Send(const Napi::CallbackInfo& info) {
    check();
    const auto count = static_cast<std::size_t>(integer(info[0], "count", kLanBatch));
    return Napi::Number::New(env_, socket_.send(lengths_.first(count)));
  }
  Napi::Value SetAddresses(const Napi::CallbackInfo& info) {
    check();
    if (const int error = socket_.set_addresses(words(info[0])); error != 0) throw make_error(env_, "filter", error);
    return env_.Undefined();
  }
  Napi::Value SetStation(const Napi::CallbackInfo& info) {
    check();
    const auto mac = typed<uint8_t>(info[0], "mac", 6);
    const int error = socket_.set_station(mac.data(), info[1].ToBoolean().Value());
    if (error != 0) throw make_error(env_, "station address", error);
    return env_.Undefined();
  }
  Napi::Value Statistics(const Napi::CallbackInfo&) {
    const LanCounts counts = socket_.counts();
    auto result = Napi::Object::New(env_);
    result.Set("received", static_cast<double>(counts.received));
    result.Set("dropped", static_cast<double>(counts.dropped));
    result.Set("truncated", static_cast<double>(counts.truncated));
    result.Set("sent", static_cast<double>(counts.sent));
    result.Set("refused", static_cast<double>(counts.refused));
    return result;
  }
  Napi::Value Close(const Napi::CallbackInfo&) {
    if (watch_.is_open()) {
      watch_.close();
      socket_.close();
      Unref();
    }
    return env_.Undefined();
  }

  Napi::Env env_;
  BufferHold hold_;
  std::span<int32_t> columns_, lengths_;
  std::span<double> times_;
  LanSocket socket_;
  ReadWatch watch_;  // after the socket: it ends first
};

}  // namespace

void init_lan_socket(Napi::Env env, Napi::Object exports) { exports.Set("LanSocket", LanSocketObject::define(env)); }

}  // namespace td
