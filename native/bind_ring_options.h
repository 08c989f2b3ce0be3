// Reading PacketRingOptions and the twin's options (src/io/native.ts): what the bindings of the ring, of the decision
// twin and of the forwarding twin share.
#pragma once

#include <string>
#include <vector>

#include "bind_options.h"
#include "packet_ring.h"
#include "twin.h"

namespace td {

constexpr uint32_t kSpinLimitMicros = 10000;

inline FanoutRole read_role(const Napi::Object& device) {
  const std::string role = device.Get("role").ToString();
  if (role == "outside") return FanoutRole::kOutside;
  if (role == "inside") return FanoutRole::kInside;
  if (role == "both") return FanoutRole::kBoth;
  throw Napi::RangeError::New(device.Env(), "devices[].role: outside, inside or both");
}

inline std::vector<RingDeviceOptions> read_devices(const Napi::Object& options) {
  const Napi::Value value = options.Get("devices");
  if (!value.IsArray()) throw Napi::TypeError::New(options.Env(), "devices: an array is needed");
  const auto list = value.As<Napi::Array>();
  if (list.Length() == 0 || list.Length() > kDeviceLimit) {
    throw Napi::RangeError::New(options.Env(), "devices: 1 to " + std::to_string(kDeviceLimit));
  }
  std::vector<RingDeviceOptions> devices;
  for (uint32_t i = 0; i < list.Length(); i++) {
    const Napi::Value item = list.Get(i);
    if (!item.IsObject()) throw Napi::TypeError::New(options.Env(), "devices[]: an object is needed");
    const auto device = item.As<Napi::Object>();
    const Napi::Value name = device.Get("name");
    if (!name.IsString()) throw Napi::TypeError::New(options.Env(), "devices[].name: a string is needed");
    devices.push_back({name.As<Napi::String>(), read_role(device)});
  }
  return devices;
}

inline uint32_t number_if_given(const Napi::Object& options, const char* name, uint32_t otherwise, uint32_t limit) {
  return options.Get(name).IsUndefined() ? otherwise : number(options, name, limit);
}

/// Everything of PacketRingOptions but table, counters and clock.
inline RingOptions read_ring_options(const Napi::Object& options) {
  RingOptions wanted;
  wanted.devices = read_devices(options);
  wanted.ports = read_ports(options, static_cast<uint32_t>(wanted.devices.size()));
  const Napi::Object fanout = object(options, "fanout");
  wanted.fanout_group = number_or(fanout, "group", -1);
  wanted.shards = number(fanout, "shards", 256);
  wanted.block_length = number_if_given(options, "blockLength", kBlockLength, 1U << 30);
  wanted.block_count = number_if_given(options, "blockCount", kBlockCount, 1U << 20);
  wanted.spin_micros = number_if_given(options, "spinMicros", kSpinMicros, kSpinLimitMicros);
  wanted.wake_fd = number_or(options, "wakeFd", -1);
  return wanted;
}

/// What a look-up reads, and where VIPs listen and servers answer: `buffer`, `layout`, `vips`, `servers`.
struct DecisionInput {
  LookupView view;
  std::vector<KnownPlace> places;
};

inline void read_places(const Napi::Object& options, const char* name, bool is_vip, const uint32_t* addresses,
                        std::vector<KnownPlace>& places) {
  const Napi::Value value = options.Get(name);
  if (!value.IsArray()) throw Napi::TypeError::New(options.Env(), std::string(name) + ": an array is needed");
  const auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); i++) {
    const Napi::Value item = array.Get(i);
    if (!item.IsObject()) throw Napi::TypeError::New(options.Env(), std::string(name) + "[]: an object is needed");
    KnownPlace place{};
    place.address_index = static_cast<uint16_t>(number(item.As<Napi::Object>(), "address", TD_ADDRESS_LIMIT - 1));
    place.port = static_cast<uint16_t>(number(item.As<Napi::Object>(), "port", 0xffff));
    place.is_vip = is_vip;
    std::memcpy(place.address, addresses + std::size_t{place.address_index} * TD_ADDRESS_WORDS, sizeof place.address);
    places.push_back(place);
  }
}

inline DecisionInput read_decision_input(const Napi::Object& options, BufferHold* hold) {
  const Napi::Value buffer = options.Get("buffer");
  const auto memory = buffer_bytes(buffer, "buffer");
  hold->keep(buffer);
  const Napi::Object layout = object(options, "layout");
  DecisionInput input;
  LookupView& view = input.view;
  view.bucket_count = number(layout, "bucketCount", 1U << 30);
  if (view.bucket_count == 0 || view.bucket_count % TD_LINE_BUCKETS != 0) {
    throw Napi::RangeError::New(options.Env(), "layout.bucketCount: a multiple of 16, more than 0, is needed");
  }
  const uint64_t slots = uint64_t{view.bucket_count} * TD_BUCKET_SLOTS;
  view.header = read_segment(layout, "header", memory, 1, TD_PAGE_LENGTH / 4);
  view.buckets = read_segment(layout, "fingerprints", memory, view.bucket_count, 1);
  view.entries = read_segment(layout, "entries", memory, slots, TD_ENTRY_WORDS);
  const uint32_t* addresses = read_segment(layout, "addresses", memory, TD_ADDRESS_LIMIT, TD_ADDRESS_WORDS);
  read_places(options, "vips", true, addresses, input.places);
  read_places(options, "servers", false, addresses, input.places);
  return input;
}

}  // namespace td
