// class ForwardingTwin: the data plane's loop once more, all of it in C++: the same rings, the same table, the same
// rewriter; only classify and recall are the twin's. What the TypeScript loop is measured against. It forwards known
// tunnels and drops everything else.
#include <ctime>
#include <memory>
#include <vector>

#include "bind_ring_options.h"
#include "bind_xsk_options.h"
#include "bindings.h"

namespace td {
namespace {

constexpr uint32_t kIdleWaitMs = 20;
constexpr double kRunLimitMs = 10000;

double seconds_now() noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

class ForwardingTwin : public Napi::ObjectWrap<ForwardingTwin> {
 public:
  static Napi::Function define(Napi::Env env) {
    using Self = ForwardingTwin;
    return DefineClass(env, "ForwardingTwin",
                       {InstanceMethod<&Self::Run>("run"), InstanceMethod<&Self::Close>("close")});
  }

  explicit ForwardingTwin(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ForwardingTwin>(info) {
    const Napi::Object options = options_of(info, "ForwardingTwin");
    const TableView table = read_table(options, &hold_);
    const Counters counters = read_counters(options, &hold_);
    double* clock = read_clock(options, &hold_);
    const DecisionInput input = read_decision_input(options, &hold_);
    decision_ = std::make_unique<Decision>(input.view, input.places);
    try {
      if (options.Get("handle").IsUndefined()) {
        ring_ = std::make_unique<PacketRing>(read_ring_options(options));
        ring_->bind(table, columns(), counters, clock);
      } else {
        sockets_ = open_xsk_ring(options);
        sockets_->bind(table, columns(), counters, clock);
      }
    } catch (const SystemError& error) {
      throw make_error(info.Env(), error.what, error.error);
    }
  }

 private:
  /// run(milliseconds): forwards for so long; returns the frames received.
  Napi::Value Run(const Napi::CallbackInfo& info) {
    const double until = seconds_now() + static_cast<double>(integer(info[0], "milliseconds", kRunLimitMs)) / 1000;
    hold_.check(info.Env());
    try {
      const uint64_t total = sockets_ == nullptr ? forward(*ring_, until) : forward(*sockets_, until);
      return Napi::Number::New(info.Env(), static_cast<double>(total));
    } catch (const SystemError& error) {
      throw make_error(info.Env(), error.what, error.error);
    }
  }
  Napi::Value Close(const Napi::CallbackInfo& info) {
    if (ring_ != nullptr) ring_->close();
    if (sockets_ != nullptr) sockets_->close();
    return info.Env().Undefined();
  }

  Columns columns() noexcept {
    return {offset_.data(), length_.data(), ingress_.data(), egress_.data(), flags_.data(), verdict_.data()};
  }

  template <typename Ring>
  uint64_t forward(Ring& ring, double until) {
    const Columns frames_of = columns();
    const auto frames = ring.memory()->bytes();
    uint64_t total = 0;
    while (seconds_now() < until) {
      received_ = ring.turn(received_, 0, kIdleWaitMs);
      total += received_;
      decision_->decide(frames, frames_of, kinds_.data(), keys_.data(), received_);
    }
    return total;
  }

  BufferHold hold_;
  std::vector<int32_t> offset_ = std::vector<int32_t>(TD_COLUMN_LENGTH);
  std::vector<int32_t> length_ = std::vector<int32_t>(TD_COLUMN_LENGTH);
  std::vector<uint8_t> ingress_ = std::vector<uint8_t>(TD_COLUMN_LENGTH);
  std::vector<uint8_t> egress_ = std::vector<uint8_t>(TD_COLUMN_LENGTH);
  std::vector<uint8_t> flags_ = std::vector<uint8_t>(TD_COLUMN_LENGTH);
  std::vector<int32_t> verdict_ = std::vector<int32_t>(TD_COLUMN_LENGTH);
  std::vector<uint8_t> kinds_ = std::vector<uint8_t>(TD_COLUMN_LENGTH);
  std::vector<uint32_t> keys_ = std::vector<uint32_t>(std::size_t{TD_COLUMN_LENGTH} * TD_KEY_WORDS);
  std::unique_ptr<Decision> decision_;
  std::unique_ptr<PacketRing> ring_;  // one of the two
  std::unique_ptr<XskRing> sockets_;
  uint32_t received_ = 0;
};

}  // namespace

void init_forwarder(Napi::Env env, Napi::Object exports) { exports.Set("ForwardingTwin", ForwardingTwin::define(env)); }

}  // namespace td
