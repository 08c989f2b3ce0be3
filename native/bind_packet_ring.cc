// class PacketRing: the AF_PACKET adapter's native half.
#include "bind_ring_object.h"

namespace td {
namespace {

struct PacketRingMaker {
  static constexpr const char* name = "PacketRing";
  static std::unique_ptr<PacketRing> make(const Napi::Object& options) {
    return std::make_unique<PacketRing>(read_ring_options(options));
  }
};

Napi::Value probe(const Napi::CallbackInfo& info) {
  try {
    probe_packet_socket();
  } catch (const SystemError& error) {
    throw make_error(info.Env(), error.what, error.error);
  }
  return info.Env().Undefined();
}

}  // namespace

void init_packet_ring(Napi::Env env, Napi::Object exports) {
  exports.Set("PacketRing", RingObject<PacketRing, PacketRingMaker>::define(env));
  exports.Set("probePacketSocket", Napi::Function::New(env, probe, "probePacketSocket"));
}

}  // namespace td
