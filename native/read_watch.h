// A descriptor on the event loop of the thread that opens the watch: a JavaScript function is called while it can be
// read. Listening alone is no reason for a process to go on.
#pragma once

#include <uv.h>

#include "napi_util.h"

namespace td {

class ReadWatch {
 public:
  ReadWatch() = default;
  ReadWatch(const ReadWatch&) = delete;
  ReadWatch& operator=(const ReadWatch&) = delete;
  ~ReadWatch() { close(); }

  /// `before` is run with `self` first; false: the function is not called. The descriptor must stay open until `close`.
  void open(Napi::Env env, int fd, const Napi::Value& readable, bool (*before)(void*) = nullptr, void* self = nullptr) {
    if (!readable.IsFunction()) throw Napi::TypeError::New(env, "onReadable: a function is needed");
    env_ = env;
    before_ = before;
    self_ = self;
    readable_ = Napi::Persistent(readable.As<Napi::Function>());
    uv_loop_s* loop = nullptr;
    napi_get_uv_event_loop(env_, &loop);
    poll_ = new uv_poll_t;
    poll_->data = this;
    if (const int error = uv_poll_init(loop, poll_, fd); error != 0) {
      delete poll_;
      poll_ = nullptr;
      throw make_error(env_, "uv_poll_init", -error);
    }
    uv_unref(reinterpret_cast<uv_handle_t*>(poll_));
    start();
    napi_add_env_cleanup_hook(env_, end, this);
  }

  bool is_open() const noexcept { return poll_ != nullptr; }

  void close() noexcept {
    if (poll_ == nullptr) return;
    napi_remove_env_cleanup_hook(env_, end, this);
    uv_poll_stop(poll_);
    uv_close(reinterpret_cast<uv_handle_t*>(poll_),
             [](uv_handle_t* handle) { delete reinterpret_cast<uv_poll_t*>(handle); });
    poll_ = nullptr;
  }

 private:
  void start() noexcept {
    uv_poll_start(poll_, UV_READABLE, [](uv_poll_t* handle, int status, int) {
      auto* self = static_cast<ReadWatch*>(handle->data);
      self->call();
      // An error of a socket (its interface went down, the kernel had to leave messages out) makes libuv stop polling.
      // It is gone once it has been read, and what comes afterwards must not go unheard.
      if (status < 0 && self->poll_ == handle) self->start();
    });
  }

  static void end(void* self) { static_cast<ReadWatch*>(self)->close(); }

  void call() {
    if (before_ != nullptr && !before_(self_)) return;
    const Napi::HandleScope scope(env_);
    try {
      readable_.MakeCallback(Napi::Env(env_).Global(), {});
    } catch (const Napi::Error& error) {
      // There is no caller to throw to: an uncaught exception, as from any other callback of the event loop.
      napi_fatal_exception(env_, error.Value());
    }
  }

  napi_env env_ = nullptr;
  Napi::FunctionReference readable_;
  bool (*before_)(void*) = nullptr;
  void* self_ = nullptr;
  uv_poll_t* poll_ = nullptr;
};

}  // namespace td
