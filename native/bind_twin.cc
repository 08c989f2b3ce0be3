// class DecisionTwin and hashKey: the TypeScript decision's yardstick.
#include <memory>

#include "bind_ring_options.h"
#include "bindings.h"
#include "hash.h"

namespace td {
namespace {

class DecisionTwin : public Napi::ObjectWrap<DecisionTwin> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "DecisionTwin",
        {InstanceMethod<&DecisionTwin::Decide>("decide"), InstanceMethod<&DecisionTwin::LookUp>("lookUp")});
  }

  explicit DecisionTwin(const Napi::CallbackInfo& info) : Napi::ObjectWrap<DecisionTwin>(info) {
    const Napi::Object options = options_of(info, "DecisionTwin");
    const Napi::Value frames = options.Get("frames");
    frames_ = buffer_bytes(frames, "frames");
    hold_.keep(frames);
    columns_ = read_columns(object(options, "columns"), &hold_);
    const Napi::Value kinds = options.Get("kinds");
    kinds_ = typed<uint8_t>(kinds, "kinds", TD_BATCH_CAPACITY).data();
    hold_.keep(kinds);
    const Napi::Value keys = options.Get("keys");
    keys_ = reinterpret_cast<uint32_t*>(typed<int32_t>(keys, "keys", TD_BATCH_CAPACITY * TD_KEY_WORDS).data());
    hold_.keep(keys);
    const DecisionInput input = read_decision_input(options, &hold_);
    decision_ = std::make_unique<Decision>(input.view, input.places);
  }

 private:
  Napi::Value Decide(const Napi::CallbackInfo& info) {
    const uint32_t count = frame_count(info[0], TD_BATCH_CAPACITY);
    hold_.check(info.Env());
    return Napi::Number::New(info.Env(), decision_->decide(frames_, columns_, kinds_, keys_, count));
  }

  /// lookUp(count): verdict = slot of the key in the same row, or -1, for rows [0, count).
  Napi::Value LookUp(const Napi::CallbackInfo& info) {
    const uint32_t count = frame_count(info[0], TD_BATCH_CAPACITY);
    hold_.check(info.Env());
    decision_->lookup().find_many(keys_, count, columns_.verdict);
    return info.Env().Undefined();
  }

  std::span<const uint8_t> frames_;
  Columns columns_;
  uint8_t* kinds_ = nullptr;
  uint32_t* keys_ = nullptr;
  BufferHold hold_;
  std::unique_ptr<Decision> decision_;
};

/// hashKey(keys, seed): [hash, fingerprint, third, fourth, owner slot] of the first 7 words, as unsigned numbers.
Napi::Value hash_key(const Napi::CallbackInfo& info) {
  const auto keys = typed<int32_t>(info[0], "keys", TD_KEY_WORDS);
  const uint32_t seed = info[1].ToNumber().Uint32Value();
  uint32_t words[TD_KEY_WORDS];
  uint32_t multipliers[TD_KEY_WORDS];
  std::memcpy(words, keys.data(), sizeof words);
  for (uint32_t i = 0; i < TD_KEY_WORDS; i++) multipliers[i] = td_multiplier(seed, i);
  const uint32_t hash = td_hash_key(words, multipliers);
  const uint32_t third = td_third_hash(hash);
  const uint32_t values[] = {hash, td_fingerprint_of(hash), third, td_fourth_hash(third),
                             td_owner_slot(words[0], words[1], words[2], words[3])};
  auto result = Napi::Array::New(info.Env(), std::size(values));
  for (uint32_t i = 0; i < std::size(values); i++) result.Set(i, Napi::Number::New(info.Env(), values[i]));
  return result;
}

}  // namespace

void init_twin(Napi::Env env, Napi::Object exports) {
  exports.Set("DecisionTwin", DecisionTwin::define(env));
  exports.Set("hashKey", Napi::Function::New(env, hash_key, "hashKey"));
}

}  // namespace td
