// Reading the options that Rewriter and PacketRing share (RewriterOptions of src/io/native.ts).
#pragma once

#include <vector>

#include "napi_util.h"
#include "rewrite.h"

namespace td {

inline TableView read_table(const Napi::Object& options) {
  const Napi::Object table = object(options, "table");
  const auto bytes = buffer_bytes(table.Get("buffer"), "table.buffer");
  TableView view;
  auto segment = [&](const char* name, uint64_t words) {
    const uint64_t offset = number(table, name);
    if (offset % 4096 != 0 || offset + words * 4 > bytes.size()) throw Napi::RangeError::New(options.Env(), std::string("table.") + name + " is outside of the buffer");
    return reinterpret_cast<uint32_t*>(bytes.data() + offset);
  };
  view.slot_count = number(table, "slotCount");
  view.record_count = number(table, "recordCount");
  view.entries = segment("entries", static_cast<uint64_t>(view.slot_count) * TD_ENTRY_WORDS);
  view.records = segment("records", static_cast<uint64_t>(view.record_count) * TD_RECORD_WORDS);
  view.addresses = segment("addresses", static_cast<uint64_t>(TD_ADDRESS_LIMIT) * TD_ADDRESS_WORDS);
  view.next_hops = segment("nextHops", static_cast<uint64_t>(TD_NEXT_HOP_LIMIT) * TD_NEXT_HOP_WORDS);
  return view;
}

inline Counters read_counters(const Napi::Object& options) {
  const Napi::Object from = object(options, "counters");
  const auto statistics = typed<double>(from.Get("statistics"), "counters.statistics", 1);
  Counters counters;
  counters.statistics = statistics.data();
  auto slot = [&](const char* name) {
    const uint32_t index = number(from, name);
    if (index >= statistics.size()) throw Napi::RangeError::New(options.Env(), std::string("counters.") + name + " is outside of the statistics");
    return index;
  };
  counters.entry_changed = slot("entryChanged");
  counters.ttl_expired = slot("ttlExpired");
  counters.neighbour_unresolved = slot("neighbourUnresolved");
  counters.rewrite_failed = slot("rewriteFailed");
  counters.send_failed = slot("sendFailed");
  counters.receive_ring = slot("receiveRing");
  counters.frames_received = slot("framesReceived");
  counters.frames_sent = slot("framesSent");
  counters.bytes_sent = slot("bytesSent");
  return counters;
}

inline std::vector<PortView> read_ports(const Napi::Object& options, uint32_t devices) {
  const Napi::Value value = options.Get("ports");
  if (!value.IsArray()) throw Napi::TypeError::New(options.Env(), "ports: an array is needed");
  const auto array = value.As<Napi::Array>();
  std::vector<PortView> ports(array.Length());
  for (uint32_t i = 0; i < array.Length(); i++) {
    const auto port = array.Get(i).As<Napi::Object>();
    const auto mac = typed<uint8_t>(port.Get("mac"), "ports[].mac", 6);
    std::memcpy(ports[i].mac, mac.data(), 6);
    ports[i].vlan = static_cast<uint16_t>(number(port, "vlan"));
    const uint32_t device = number(port, "device");
    if (device >= devices) throw Napi::RangeError::New(options.Env(), "ports[].device: no such device");
    ports[i].device = static_cast<uint8_t>(device);
  }
  return ports;
}

inline Columns read_columns(const Napi::Object& from) {
  Columns columns;
  columns.offset = typed<int32_t>(from.Get("offset"), "columns.offset", TD_COLUMN_LENGTH).data();
  columns.length = typed<int32_t>(from.Get("length"), "columns.length", TD_COLUMN_LENGTH).data();
  columns.ingress = typed<uint8_t>(from.Get("ingress"), "columns.ingress", TD_COLUMN_LENGTH).data();
  columns.egress = typed<uint8_t>(from.Get("egress"), "columns.egress", TD_COLUMN_LENGTH).data();
  columns.flags = typed<uint8_t>(from.Get("flags"), "columns.flags", TD_COLUMN_LENGTH).data();
  columns.verdict = typed<int32_t>(from.Get("verdict"), "columns.verdict", TD_COLUMN_LENGTH).data();
  return columns;
}

/// The frame counts of turn and rewrite, within the columns.
inline uint32_t frame_count(const Napi::Value& value, uint32_t limit) {
  const double count = value.ToNumber().DoubleValue();
  if (!(count >= 0 && count <= limit)) throw Napi::RangeError::New(value.Env(), "frame count is outside of the columns");
  return static_cast<uint32_t>(count);
}

}  // namespace td
