// class NetlinkSocket: a raw netlink socket on the event loop of the thread that makes it.
#include <uv.h>

#include "bindings.h"
#include "napi_util.h"
#include "netlink_socket.h"

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
    if (!info[2].IsFunction()) throw Napi::TypeError::New(env_, "onReadable: a function is needed");
    try {
      socket_ = NetlinkSocket(protocol, groups);
    } catch (const NetlinkError& error) {
      throw make_error(env_, error.what, error.error);
    }
    readable_ = Napi::Persistent(info[2].As<Napi::Function>());
    uv_loop_s* loop = nullptr;
    napi_get_uv_event_loop(env_, &loop);
    poll_ = new uv_poll_t;
    poll_->data = this;
    if (const int error = uv_poll_init(loop, poll_, socket_.fd()); error != 0) {
      delete poll_;
      poll_ = nullptr;
      throw make_error(env_, "uv_poll_init", -error);
    }
    // Listening alone is no reason for a process to go on.
    uv_unref(reinterpret_cast<uv_handle_t*>(poll_));
    uv_poll_start(poll_, UV_READABLE,
                  [](uv_poll_t* handle, int, int) { static_cast<NetlinkSocketObject*>(handle->data)->OnReadable(); });
    napi_add_env_cleanup_hook(env_, end, this);
    Ref();  // lives until close(): the event loop points at it
  }
  ~NetlinkSocketObject() override { shut(); }

 private:
  void OnReadable() {
    const Napi::HandleScope scope(env_);
    try {
      readable_.MakeCallback(env_.Global(), {});
    } catch (const Napi::Error& error) {
      // There is no caller to throw to: an uncaught exception, as from any other callback of the event loop.
      napi_fatal_exception(env_, error.Value());
    }
  }
  Napi::Value Send(const Napi::CallbackInfo& info) {
    const auto message = typed<uint8_t>(info[0], "message", kNetlinkHeaderLength);
    if (poll_ == nullptr) throw make_error(env_, "netlink send", EBADF);
    if (const int error = socket_.send(message); error != 0) throw make_error(env_, "netlink send", error);
    return env_.Undefined();
  }
  Napi::Value Receive(const Napi::CallbackInfo&) {
    if (poll_ == nullptr) return env_.Null();
    std::span<const uint8_t> datagram;
    if (const int error = socket_.receive(datagram); error != 0) throw make_error(env_, "netlink receive", error);
    if (datagram.empty()) return env_.Null();
    auto result = Napi::Uint8Array::New(env_, datagram.size());
    std::memcpy(result.Data(), datagram.data(), datagram.size());
    return result;
  }
  Napi::Value Close(const Napi::CallbackInfo&) {
    if (poll_ != nullptr) {
      shut();
      Unref();
    }
    return env_.Undefined();
  }
  static void end(void* self) { static_cast<NetlinkSocketObject*>(self)->shut(); }
  void shut() noexcept {
    if (poll_ == nullptr) return;
    napi_remove_env_cleanup_hook(env_, end, this);
    uv_poll_stop(poll_);
    uv_close(reinterpret_cast<uv_handle_t*>(poll_),
             [](uv_handle_t* handle) { delete reinterpret_cast<uv_poll_t*>(handle); });
    poll_ = nullptr;
    socket_.close();
  }

  static constexpr double kNetlinkProtocolLimit = 31;
  static constexpr double kGroupsLimit = 9007199254740991.0;  // what a number holds exactly: groups 1 … 53

  Napi::Env env_;
  NetlinkSocket socket_;
  Napi::FunctionReference readable_;
  uv_poll_t* poll_ = nullptr;
};

}  // namespace

void init_netlink(Napi::Env env, Napi::Object exports) {
  exports.Set("NetlinkSocket", NetlinkSocketObject::define(env));
}

}  // namespace td
