// Odds and ends of the operating system that Node does not offer.
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <ctime>

#include "bindings.h"
#include "napi_util.h"
#include "unique_fd.h"

namespace td {
namespace {

std::string text(Napi::Value value, const char* name) {
  if (!value.IsString()) throw Napi::TypeError::New(value.Env(), std::string(name) + ": a string is needed");
  return value.As<Napi::String>().Utf8Value();
}

/// sdNotify(message): true when sent, false without $NOTIFY_SOCKET. Node has no AF_UNIX datagram socket.
Napi::Value sd_notify(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr || (path[0] != '/' && path[0] != '@')) return Napi::Boolean::New(env, false);
  const std::string message = text(info[0], "message");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::size_t length = std::strlen(path);
  if (length >= sizeof address.sun_path) throw Napi::RangeError::New(env, "NOTIFY_SOCKET is too long");
  std::memcpy(address.sun_path, path, length);
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
  const UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) throw make_error(env, "socket for sd_notify", errno);
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  if (sendto(fd.get(), message.data(), message.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address), size) < 0) {
    throw make_error(env, std::string("sd_notify to ") + path, errno);
  }
  return Napi::Boolean::New(env, true);
}

Napi::Value pin_thread(const Napi::CallbackInfo& info) {
  const auto cpu = integer(info[0], "cpu", CPU_SETSIZE - 1);
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0)
    throw make_error(info.Env(), "sched_setaffinity to CPU " + std::to_string(cpu), errno);
  return info.Env().Undefined();
}

Napi::Value thread_id(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(syscall(SYS_gettid)));
}

double clock_seconds(clockid_t id) {
  timespec now{};
  clock_gettime(id, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

Napi::Value thread_cpu_nanos(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), clock_seconds(CLOCK_THREAD_CPUTIME_ID) * 1e9);
}
Napi::Value monotonic_seconds(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), clock_seconds(CLOCK_MONOTONIC));
}

/// interfaceInfo(name): { index, mac, mtu, up }. Throws ENODEV when there is no such interface.
Napi::Value interface_info(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string name = text(info[0], "name");
  ifreq request{};
  if (name.empty() || name.size() >= sizeof request.ifr_name)
    throw make_error(env, "interface name \"" + name + "\"", EINVAL);
  const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) throw make_error(env, "socket", errno);
  auto ask = [&](unsigned long what) {
    request = ifreq{};
    std::memcpy(request.ifr_name, name.data(), name.size());
    if (ioctl(fd.get(), what, &request) != 0) throw make_error(env, "ioctl on interface " + name, errno);
  };
  auto result = Napi::Object::New(env);
  ask(SIOCGIFINDEX);
  result.Set("index", request.ifr_ifindex);
  ask(SIOCGIFHWADDR);
  auto mac = Napi::Uint8Array::New(env, 6);
  std::memcpy(mac.Data(), request.ifr_hwaddr.sa_data, 6);
  result.Set("mac", mac);
  ask(SIOCGIFMTU);
  result.Set("mtu", request.ifr_mtu);
  ask(SIOCGIFFLAGS);
  result.Set("up", Napi::Boolean::New(env, (request.ifr_flags & IFF_UP) != 0));
  return result;
}

Napi::Value event_fd(const Napi::CallbackInfo& info) {
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) throw make_error(info.Env(), "eventfd", errno);
  return Napi::Number::New(info.Env(), fd);
}

Napi::Value signal_event_fd(const Napi::CallbackInfo& info) {
  const uint64_t one = 1;
  // A full counter means that the reader has not looked yet: it is awake already.
  const int fd = descriptor(info[0]);
  if (write(fd, &one, sizeof one) < 0 && errno != EAGAIN) {
    throw make_error(info.Env(), "write to eventfd " + std::to_string(fd), errno);
  }
  return info.Env().Undefined();
}

Napi::Value close_fd(const Napi::CallbackInfo& info) {
  const int fd = descriptor(info[0]);
  // Not repeated after EINTR: Linux has closed it by then.
  if (::close(fd) != 0 && errno != EINTR) throw make_error(info.Env(), "close " + std::to_string(fd), errno);
  return info.Env().Undefined();
}

/// lockPath(path): a descriptor that holds an exclusive lock of a file (made when it is not there) or of a folder,
/// until it is closed or the process ends. Throws EAGAIN when somebody else has it.
Napi::Value lock_path(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string path = text(info[0], "path");
  // A folder can be locked too, but only be opened for reading.
  int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 && (errno == ENOTDIR || errno == ENOENT)) {
    fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  }
  if (fd < 0) throw make_error(env, "open " + path, errno);
  UniqueFd held(fd);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) throw make_error(env, "lock of " + path, errno);
  held.release();
  return Napi::Number::New(env, fd);
}

Napi::Value exit_now(const Napi::CallbackInfo& info) { _exit(info[0].ToNumber().Int32Value()); }

}  // namespace

void init_system(Napi::Env env, Napi::Object exports) {
  exports.Set("version", TD_VERSION);
  exports.Set("sdNotify", Napi::Function::New(env, sd_notify, "sdNotify"));
  exports.Set("pinThread", Napi::Function::New(env, pin_thread, "pinThread"));
  exports.Set("threadId", Napi::Function::New(env, thread_id, "threadId"));
  exports.Set("threadCpuNanos", Napi::Function::New(env, thread_cpu_nanos, "threadCpuNanos"));
  exports.Set("monotonicSeconds", Napi::Function::New(env, monotonic_seconds, "monotonicSeconds"));
  exports.Set("interfaceInfo", Napi::Function::New(env, interface_info, "interfaceInfo"));
  exports.Set("eventFd", Napi::Function::New(env, event_fd, "eventFd"));
  exports.Set("signalEventFd", Napi::Function::New(env, signal_event_fd, "signalEventFd"));
  exports.Set("exitNow", Napi::Function::New(env, exit_now, "exitNow"));
  exports.Set("lockPath", Napi::Function::New(env, lock_path, "lockPath"));
  exports.Set("closeFd", Napi::Function::New(env, close_fd, "closeFd"));
}

}  // namespace td
