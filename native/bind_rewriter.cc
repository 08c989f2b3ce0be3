// class Rewriter: rewrites frames of a JavaScript buffer, for the memory and pcap adapters.
#include "bind_options.h"
#include "bindings.h"

namespace td {
namespace {

class Rewriter : public Napi::ObjectWrap<Rewriter> {
 public:
  static Napi::Function define(Napi::Env env) { return DefineClass(env, "Rewriter", {InstanceMethod<&Rewriter::Rewrite>("rewrite")}); }

  explicit Rewriter(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Rewriter>(info) {
    if (!info[0].IsObject()) throw Napi::TypeError::New(info.Env(), "Rewriter: options are needed");
    const auto options = info[0].As<Napi::Object>();
    frames_ = buffer_bytes(options.Get("frames"), "frames");
    columns_ = read_columns(object(options, "columns"));
    table_ = read_table(options);
    counters_ = read_counters(options);
    ports_ = read_ports(options, 256);
    clock_ = typed<double>(options.Get("clock"), "clock", 1).data();
    options_ = Napi::Persistent(options);  // keeps every buffer alive
  }

 private:
  Napi::Value Rewrite(const Napi::CallbackInfo& info) {
    const uint32_t received = frame_count(info[0], TD_BATCH_CAPACITY);
    const uint32_t scratch = frame_count(info[1], TD_SCRATCH_SLOTS);
    const RewriteContext context{table_, ports_.data(), static_cast<uint32_t>(ports_.size()), static_cast<uint32_t>(clock_[0])};
    rewrite_batch(context, frames_, columns_, counters_, 0, received);
    rewrite_batch(context, frames_, columns_, counters_, TD_BATCH_CAPACITY, scratch);
    return info.Env().Undefined();
  }

  std::span<uint8_t> frames_;
  Columns columns_;
  TableView table_;
  Counters counters_;
  std::vector<PortView> ports_;
  double* clock_ = nullptr;
  Napi::ObjectReference options_;
};

}  // namespace

void init_rewriter(Napi::Env env, Napi::Object exports) { exports.Set("Rewriter", Rewriter::define(env)); }

}  // namespace td
