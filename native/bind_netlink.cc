// class NetlinkSocket: a raw netlink socket on the event loop of the thread that makes it.
#include "bindings.h"
#include "napi_util.h"
#include "netlink_socket.h"
#include "read_watch.h"

namespace td {
namespace {

class NetlinkSocketObject : public Napi::ObjectWrap<NetlinkSocketObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    using Self = NetlinkSocketObject;
    return DefineClass(env, "NetlinkSocket",
                       {InstanceMethod<&Self::Send>("send"), InstanceMethod<&Self::Receive>("receive"),
                        InstanceMethod<&Self::Close>("close")});
  }

  /// NetlinkSocket(protocol, groups, onReadable): `groups` is a bit mask, group g is bit g − 1.
  explicit NetlinkSocketObject(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<NetlinkSocketObject>(info), env_(info.Env()) {
    const auto protocol = static_cast<int>(integer(info[0], "protocol", kNetlinkProtocolLimit));
    const uint64_t groups = integer(info[1], "groups", kGroupsLimit);
    try {
      socket_ = NetlinkSocket(protocol, groups);
    } catch (const NetlinkError& error) {
      throw make_error(env_, error.what, error.error);
    }
    watch_.open(env_, socket_.fd(), info[2]);
    Ref();  // lives until close(): the event loop points at it
  }

 private:
  Napi::Value Send(const Napi::CallbackInfo& info) {
    const auto message = typed<uint8_t>(info[0], "message", kNetlinkHeaderLength);
    if (!watch_.is_open()) throw make_error(env_, "netlink send", EBADF);
    if (const int error = socket_.send(message); error != 0) throw make_error(env_, "netlink send", error);
    return env_.Undefined();
  }
  Napi::Value Receive(const Napi::CallbackInfo&) {
    if (!watch_.is_open()) return env_.Null();
    std::span<const uint8_t> datagram;
    if (const int error = socket_.receive(datagram); error != 0) throw make_error(env_, "netlink receive", error);
    if (datagram.empty()) return env_.Null();
    auto result = Napi::Uint8Array::New(env_, datagram.size());
    std::memcpy(result.Data(), datagram.data(), datagram.size());
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

  static constexpr double kNetlinkProtocolLimit = 31;
  static constexpr double kGroupsLimit = 9007199254740991.0;  // what a number holds exactly: groups 1 … 53

  Napi::Env env_;
  NetlinkSocket socket_;
  ReadWatch watch_;  // after the socket: it ends first
};

}  // namespace

void init_netlink(Napi::Env env, Napi::Object exports) {
  exports.Set("NetlinkSocket", NetlinkSocketObject::define(env));
}

}  // namespace td
