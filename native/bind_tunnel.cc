// The data path of an LNS and a LAC: TunnelForwarder, TunnelSender, EventWatch and what they work on.
#include <unistd.h>

#include <memory>

#include "bindings.h"
#include "napi_util.h"
#include "packet_ring.h"
#include "read_watch.h"
#include "tunnel_devices.h"
#include "tunnel_forwarder.h"
#include "tunnel_sender.h"

namespace td {
namespace {

constexpr uint32_t kWaitLimitMs = 1000;
constexpr uint32_t kMtuLimit = 9216;

PlaneView read_view(const Napi::Object& options, BufferHold* hold) {
  const Napi::Object layout = object(options, "layout");
  const auto offset = [&](const char* name) {
    return static_cast<std::size_t>(integer(layout.Get(name), name, 9007199254740991.0));
  };
  const PlaneOffsets offsets{offset("sockets"), offset("calls"),      offset("routeRows"), offset("index"),
                             offset("counts"),  offset("statistics"), offset("rings")};
  PlaneView view;
  if (!view.open(buffer_bytes(options.Get("buffer"), "buffer"), offsets)) {
    throw Napi::RangeError::New(options.Env(), "buffer: no memory of this layout");
  }
  hold->keep(options.Get("buffer"));
  return view;
}

std::vector<AccessLine> read_lines(const Napi::Object& options) {
  const Napi::Value value = options.Get("accesses");
  if (!value.IsArray()) throw Napi::TypeError::New(options.Env(), "accesses: an array is needed");
  const auto array = value.As<Napi::Array>();
  if (array.Length() > TD_PLANE_ACCESS_LIMIT) throw Napi::RangeError::New(options.Env(), "accesses: too many");
  std::vector<AccessLine> lines;
  for (uint32_t i = 0; i < array.Length(); i++) {
    if (!array.Get(i).IsObject()) throw Napi::TypeError::New(options.Env(), "accesses: objects are needed");
    const auto item = array.Get(i).As<Napi::Object>();
    AccessLine line;
    line.session_fd = descriptor(item.Get("sessionFd"));
    line.discovery_fd = number_or(item, "discoveryFd", -1);
    line.interface_index = number_or(item, "interfaceIndex", 0);
    const auto mac = typed<uint8_t>(item.Get("mac"), "mac", 6);
    std::copy_n(mac.begin(), 6, line.mac.begin());
    lines.push_back(line);
  }
  return lines;
}

class ForwarderObject : public Napi::ObjectWrap<ForwarderObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    using Self = ForwarderObject;
    return DefineClass(env, "TunnelForwarder",
                       {InstanceMethod<&Self::Turn>("turn"), InstanceMethod<&Self::Held>("held"),
                        InstanceMethod<&Self::Close>("close")});
  }
  explicit ForwarderObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ForwarderObject>(info) {
    const Napi::Object options = options_of(info, "TunnelForwarder");
    const PlaneView view = read_view(options, &hold_);
    TunnelForwarderOptions wanted;
    wanted.worker = number(options, "worker", view.workers() - 1);
    wanted.tun_fd = number_or(options, "tunFd", -1);
    wanted.lines = read_lines(options);
    wanted.wake_fd = number_or(options, "wakeFd", -1);
    wanted.punt_fd = descriptor(options.Get("puntFd"));
    forwarder_ = std::make_unique<TunnelForwarder>(view, std::move(wanted));
  }

 private:
  void check(Napi::Env env) {
    if (forwarder_ == nullptr) throw make_error(env, "TunnelForwarder is closed", EBADF);
    hold_.check(env);
  }
  Napi::Value Turn(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const auto wait = static_cast<uint32_t>(integer(info[0], "waitMs", kWaitLimitMs));
    check(env);
    try {
      return Napi::Number::New(env, forwarder_->turn(wait));
    } catch (const SystemError& error) {
      throw make_error(env, error.what, error.error);
    }
  }
  Napi::Value Held(const Napi::CallbackInfo& info) {
    check(info.Env());
    auto result = Napi::Object::New(info.Env());
    result.Set("packets", static_cast<double>(forwarder_->held().packets()));
    result.Set("bytes", static_cast<double>(forwarder_->held().bytes()));
    return result;
  }
  Napi::Value Close(const Napi::CallbackInfo& info) {
    forwarder_.reset();
    return info.Env().Undefined();
  }

  BufferHold hold_;
  std::unique_ptr<TunnelForwarder> forwarder_;
};

class SenderObject : public Napi::ObjectWrap<SenderObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    using Self = SenderObject;
    return DefineClass(env, "TunnelSender",
                       {InstanceMethod<&Self::Send>("send"), InstanceMethod<&Self::Close>("close"),
                        InstanceAccessor<&Self::Failed>("failed")});
  }
  explicit SenderObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<SenderObject>(info) {
    const Napi::Object options = options_of(info, "TunnelSender");
    const PlaneView view = read_view(options, &hold_);
    sender_ = std::make_unique<TunnelSender>(view, read_lines(options));
  }

 private:
  Napi::Value Send(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    if (sender_ == nullptr) throw make_error(env, "TunnelSender is closed", EBADF);
    hold_.check(env);
    const auto count = static_cast<uint32_t>(integer(info[1], "count", 65535));
    const auto rows = typed<int32_t>(info[0], "rows", std::size_t{count} * TD_SEND_ROW_WORDS);
    const auto bytes = typed<uint8_t>(info[2], "bytes", 0);
    return Napi::Number::New(env, sender_->send(rows, count, bytes));
  }
  Napi::Value Failed(const Napi::CallbackInfo& info) {
    if (sender_ != nullptr) failed_ = static_cast<double>(sender_->failed());
    return Napi::Number::New(info.Env(), failed_);
  }
  Napi::Value Close(const Napi::CallbackInfo& info) {
    Failed(info);
    sender_.reset();
    return info.Env().Undefined();
  }

  BufferHold hold_;
  double failed_ = 0;
  std::unique_ptr<TunnelSender> sender_;
};

/// EventWatch(fd, onReadable): reads the eventfd and calls, from the event loop. It does not keep a process alive.
class EventWatchObject : public Napi::ObjectWrap<EventWatchObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "EventWatch", {InstanceMethod<&EventWatchObject::Close>("close")});
  }
  explicit EventWatchObject(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<EventWatchObject>(info), fd_(descriptor(info[0])) {
    watch_.open(info.Env(), fd_, info[1], drain, this);
    Ref();  // lives until close(): the event loop points at it
  }

 private:
  static bool drain(void* self) {
    uint64_t count = 0;
    return read(static_cast<EventWatchObject*>(self)->fd_, &count, sizeof count) >= 0;
  }
  Napi::Value Close(const Napi::CallbackInfo& info) {
    if (watch_.is_open()) {
      watch_.close();
      Unref();
    }
    return info.Env().Undefined();
  }

  int fd_;
  ReadWatch watch_;
};

/// The descriptors become JavaScript's.
Napi::Array give(Napi::Env env, std::vector<UniqueFd>& fds) {
  auto array = Napi::Array::New(env, fds.size());
  for (uint32_t i = 0; i < fds.size(); i++) array.Set(i, Napi::Number::New(env, fds[i].release()));
  return array;
}

std::string name_of(Napi::Value value) {
  if (!value.IsString()) throw Napi::TypeError::New(value.Env(), "name: a string is needed");
  return value.As<Napi::String>().Utf8Value();
}

uint32_t workers_of(Napi::Value value) {
  const auto count = static_cast<uint32_t>(integer(value, "workers", TD_PLANE_WORKER_LIMIT));
  if (count == 0) throw Napi::RangeError::New(value.Env(), "workers: at least one is needed");
  return count;
}

Napi::Value tun(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const uint32_t queues = workers_of(info[1]);
  const auto mtu = static_cast<uint32_t>(integer(info[2], "mtu", kMtuLimit));
  try {
    TunDevice device = open_tun(name_of(info[0]), queues, mtu);
    auto result = Napi::Object::New(env);
    result.Set("name", device.name);
    result.Set("steered", device.steered);
    result.Set("fds", give(env, device.queues));
    return result;
  } catch (const SystemError& error) {
    throw make_error(env, error.what, error.error);
  }
}

Napi::Value udp_group(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto words = typed<int32_t>(info[0], "address", 4);
  const auto port = static_cast<uint16_t>(integer(info[1], "port", 65535));
  const uint32_t count = workers_of(info[2]);
  const bool freebind = info[3].ToBoolean();
  uint32_t address[4];
  std::memcpy(address, words.data(), sizeof address);
  try {
    UdpGroup group = open_udp_group(address, port, count, freebind);
    auto result = Napi::Object::New(env);
    result.Set("port", group.port);
    result.Set("fds", give(env, group.sockets));
    return result;
  } catch (const SystemError& error) {
    throw make_error(env, error.what, error.error);
  }
}

Napi::Value access(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const uint32_t count = workers_of(info[1]);
  try {
    AccessSockets sockets = open_access(name_of(info[0]), count);
    auto result = Napi::Object::New(env);
    result.Set("sessionFds", give(env, sockets.sessions));
    result.Set("discoveryFd", sockets.discovery.release());
    return result;
  } catch (const SystemError& error) {
    throw make_error(env, error.what, error.error);
  }
}

}  // namespace

void init_tunnel(Napi::Env env, Napi::Object exports) {
  exports.Set("TunnelForwarder", ForwarderObject::define(env));
  exports.Set("TunnelSender", SenderObject::define(env));
  exports.Set("EventWatch", EventWatchObject::define(env));
  exports.Set("openTun", Napi::Function::New(env, tun, "openTun"));
  exports.Set("openUdpGroup", Napi::Function::New(env, udp_group, "openUdpGroup"));
  exports.Set("openAccess", Napi::Function::New(env, access, "openAccess"));
}

}  // namespace td
