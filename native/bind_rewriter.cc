// class Rewriter: rewrites frames of a JavaScript buffer, for the memory and pcap adapters.
#include "bind_options.h"
#include "bindings.h"

namespace td {
namespace {

class Rewriter : public Napi::ObjectWrap<Rewriter> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "Rewriter", {InstanceMethod<&Rewriter::Rewrite>("rewrite")});
  }

  explicit Rewriter(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Rewriter>(info) {
    const Napi::Object options = options_of(info, "Rewriter");
    const Napi::Value frames = options.Get("frames");
    frames_ = buffer_bytes(frames, "frames");
    hold_.keep(frames);
    columns_ = read_columns(object(options, "columns"), &hold_);
    table_ = read_table(options, &hold_);
    counters_ = read_counters(options, &hold_);
    clock_ = read_clock(options, &hold_);
    ports_ = read_ports(options, 256);
  }

 private:
  Napi::Value Rewrite(const Napi::CallbackInfo& info) {
    const uint32_t received = frame_count(info[0], TD_BATCH_CAPACITY);
    const uint32_t scratch = frame_count(info[1], TD_SCRATCH_SLOTS);
    hold_.check(info.Env());
    const RewriteContext context{table_, ports_.data(), static_cast<uint32_t>(ports_.size()), whole_seconds(clock_[0])};
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
  BufferHold hold_;
};

}  // namespace

void init_rewriter(Napi::Env env, Napi::Object exports) { exports.Set("Rewriter", Rewriter::define(env)); }

}  // namespace td
