// Reading the options that Rewriter, PacketRing and DecisionTwin share (RewriterOptions of src/io/native.ts). With a
// BufferHold every buffer is entered there.
#pragma once

#include <vector>

#include "napi_util.h"
#include "rewrite.h"

namespace td {

/// `count` items of `words` 32-bit words, from byte offset `table[name]` on.
inline uint32_t* read_segment(const Napi::Object& table, const char* name, std::span<uint8_t> bytes, uint64_t count,
                              uint64_t words) {
  const uint64_t offset = integer(table.Get(name), name, static_cast<double>(bytes.size()));
  if (offset % TD_PAGE_LENGTH != 0 || count * words * 4 > bytes.size() - offset) {
    throw Napi::RangeError::New(table.Env(), std::string("table.") + name + " is outside of the buffer");
  }
  return reinterpret_cast<uint32_t*>(bytes.data() + offset);
}

inline TableView read_table(const Napi::Object& options, BufferHold* hold = nullptr) {
  const Napi::Object table = object(options, "table");
  const Napi::Value buffer = table.Get("buffer");
  const auto bytes = buffer_bytes(buffer, "table.buffer");
  if (hold != nullptr) hold->keep(buffer);
  TableView view;
  view.slot_count = number(table, "slotCount");
  view.record_count = number(table, "recordCount");
  view.entries = read_segment(table, "entries", bytes, view.slot_count, TD_ENTRY_WORDS);
  view.records = read_segment(table, "records", bytes, view.record_count, TD_RECORD_WORDS);
  view.addresses = read_segment(table, "addresses", bytes, TD_ADDRESS_LIMIT, TD_ADDRESS_WORDS);
  view.next_hops = read_segment(table, "nextHops", bytes, TD_NEXT_HOP_LIMIT, TD_NEXT_HOP_WORDS);
  // Absent where no gateway group can be.
  if (!table.Get("header").IsUndefined())
    view.xdp = read_segment(table, "header", bytes, 1, TD_PAGE_LENGTH / 4) + TD_XDP_OFFSET / 4;
  return view;
}

inline Counters read_counters(const Napi::Object& options, BufferHold* hold = nullptr) {
  const Napi::Object from = object(options, "counters");
  const Napi::Value array = from.Get("statistics");
  const auto statistics = typed<double>(array, "counters.statistics", 1);
  if (hold != nullptr) hold->keep(array);
  const auto slot = [&](const char* name) { return number(from, name, static_cast<uint32_t>(statistics.size() - 1)); };
  Counters counters;
  counters.statistics = statistics.data();
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

/// One or two ports, each on one of `devices` devices.
inline std::vector<PortView> read_ports(const Napi::Object& options, uint32_t devices) {
  const Napi::Value value = options.Get("ports");
  if (!value.IsArray()) throw Napi::TypeError::New(options.Env(), "ports: an array is needed");
  const auto array = value.As<Napi::Array>();
  if (array.Length() < 1 || array.Length() > 2) throw Napi::RangeError::New(options.Env(), "ports: one or two");
  std::vector<PortView> ports(array.Length());
  for (uint32_t i = 0; i < array.Length(); i++) {
    const Napi::Value item = array.Get(i);
    if (!item.IsObject()) throw Napi::TypeError::New(options.Env(), "ports[]: an object is needed");
    const auto port = item.As<Napi::Object>();
    const auto mac = typed<uint8_t>(port.Get("mac"), "ports[].mac", 6);
    std::memcpy(ports[i].mac, mac.data(), 6);
    ports[i].vlan = static_cast<uint16_t>(number(port, "vlan", 4094));
    ports[i].device = static_cast<uint8_t>(number(port, "device", devices - 1));
  }
  return ports;
}

inline Columns read_columns(const Napi::Object& from, BufferHold* hold = nullptr) {
  const auto column = [&]<typename T>(const char* name, T*& out) {
    const Napi::Value array = from.Get(name);
    out = typed<T>(array, (std::string("columns.") + name).c_str(), TD_COLUMN_LENGTH).data();
    if (hold != nullptr) hold->keep(array);
  };
  Columns columns;
  column("offset", columns.offset);
  column("length", columns.length);
  column("ingress", columns.ingress);
  column("egress", columns.egress);
  column("flags", columns.flags);
  column("verdict", columns.verdict);
  return columns;
}

inline double* read_clock(const Napi::Object& options, BufferHold* hold = nullptr) {
  const Napi::Value array = options.Get("clock");
  double* clock = typed<double>(array, "clock", 1).data();
  if (hold != nullptr) hold->keep(array);
  return clock;
}

/// The clock as whole seconds; a clock that JavaScript has set to nonsense is 0.
inline uint32_t whole_seconds(double clock) {
  return clock >= 0 && clock < 4294967296.0 ? static_cast<uint32_t>(clock) : 0;
}

/// The frame counts of turn and rewrite, within the columns.
inline uint32_t frame_count(const Napi::Value& value, uint32_t limit) {
  return static_cast<uint32_t>(integer(value, "frame count", limit));
}

}  // namespace td
