// class NetlinkSocket: a raw netlink socket on the event loop of the thread that makes it.
#include <linux/netlink.h>
#include <sys/socket.h>
#include <uv.h>

#include <vector>

#include "bindings.h"
#include "napi_util.h"
#include "unique_fd.h"

namespace td {
namespace {

constexpr std::size_t kDatagramLength = 1 << 16;  // the kernel fills at most 32 KiB of a dump's buffer
constexpr int kReceiveBuffer = 4 << 20;

class NetlinkSocket : public Napi::ObjectWrap<NetlinkSocket> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NetlinkSocket",
                       {InstanceMethod<&NetlinkSocket::Send>("send"), InstanceMethod<&NetlinkSocket::Receive>("receive"), InstanceMethod<&NetlinkSocket::Close>("close")});
  }

  /// NetlinkSocket(protocol, groups, onReadable): `groups` is a bit mask, group g is bit g − 1.
  explicit NetlinkSocket(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NetlinkSocket>(info), env_(info.Env()), buffer_(kDatagramLength) {
    fd_ = UniqueFd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, info[0].ToNumber().Int32Value()));
    if (fd_.get() < 0) throw make_error(env_, "socket(AF_NETLINK)", errno);
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    if (bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) throw make_error(env_, "bind(AF_NETLINK)", errno);
    const auto groups = static_cast<uint64_t>(info[1].ToNumber().DoubleValue());
    for (int group = 1; group <= 52; group++) {
      if ((groups >> (group - 1) & 1) == 0) continue;
      if (setsockopt(fd_.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0) throw make_error(env_, "netlink group " + std::to_string(group), errno);
    }
    const int on = 1;
    setsockopt(fd_.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
    setsockopt(fd_.get(), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
    if (setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof kReceiveBuffer) != 0) {
      setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof kReceiveBuffer);
    }
    readable_ = Napi::Persistent(info[2].As<Napi::Function>());
    uv_loop_s* loop = nullptr;
    napi_get_uv_event_loop(env_, &loop);
    poll_ = new uv_poll_t;
    poll_->data = this;
    const int error = uv_poll_init(loop, poll_, fd_.get());
    if (error != 0) {
      delete poll_;
      poll_ = nullptr;
      throw Napi::Error::New(env_, std::string("uv_poll_init: ") + uv_strerror(error));
    }
    uv_unref(reinterpret_cast<uv_handle_t*>(poll_));
    uv_poll_start(poll_, UV_READABLE, [](uv_poll_t* handle, int, int) { static_cast<NetlinkSocket*>(handle->data)->OnReadable(); });
    napi_add_env_cleanup_hook(env_, end, this);
    Ref();  // lives until close(): the event loop points at it
  }
  ~NetlinkSocket() override { shut(); }

 private:
  void OnReadable() {
    const Napi::HandleScope scope(env_);
    try {
      readable_.MakeCallback(env_.Global(), {});
    } catch (const Napi::Error& error) {
      error.ThrowAsJavaScriptException();
    }
  }
  Napi::Value Send(const Napi::CallbackInfo& info) {
    const auto message = typed<uint8_t>(info[0], "message", 16);
    if (poll_ == nullptr) throw make_error(env_, "netlink socket is closed", EBADF);
    if (::send(fd_.get(), message.data(), message.size(), 0) < 0) throw make_error(env_, "netlink send", errno);
    return env_.Undefined();
  }
  Napi::Value Receive(const Napi::CallbackInfo&) {
    if (poll_ == nullptr) return env_.Null();
    const ssize_t length = recv(fd_.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (length < 0) {
      if (errno == EAGAIN || errno == EINTR) return env_.Null();
      throw make_error(env_, "netlink receive", errno);
    }
    auto result = Napi::Uint8Array::New(env_, static_cast<std::size_t>(length));
    std::memcpy(result.Data(), buffer_.data(), static_cast<std::size_t>(length));
    return result;
  }
  Napi::Value Close(const Napi::CallbackInfo&) {
    if (poll_ != nullptr) {
      shut();
      Unref();
    }
    return env_.Undefined();
  }
  static void end(void* self) { static_cast<NetlinkSocket*>(self)->shut(); }
  void shut() noexcept {
    if (poll_ == nullptr) return;
    napi_remove_env_cleanup_hook(env_, end, this);
    uv_poll_stop(poll_);
    uv_close(reinterpret_cast<uv_handle_t*>(poll_), [](uv_handle_t* handle) { delete reinterpret_cast<uv_poll_t*>(handle); });
    poll_ = nullptr;
    fd_.reset();
  }

  Napi::Env env_;
  UniqueFd fd_;
  std::vector<uint8_t> buffer_;
  Napi::FunctionReference readable_;
  uv_poll_t* poll_ = nullptr;
};

}  // namespace

void init_netlink(Napi::Env env, Napi::Object exports) { exports.Set("NetlinkSocket", NetlinkSocket::define(env)); }

}  // namespace td
