// The addon's entry: context-aware, one instance per JavaScript environment. The only process-wide mutable state is the
// register of AF_XDP sockets (xsk_registry.h): the main thread makes them, the shards use them.
#include "bindings.h"

namespace {

class Addon : public Napi::Addon<Addon> {
 public:
  Addon(Napi::Env env, Napi::Object exports) {
    DefineAddon(exports, {});
    td::init_system(env, exports);
    td::init_table(env, exports);
    td::init_rewriter(env, exports);
    td::init_twin(env, exports);
    td::init_xsk(env, exports);
    td::init_packet_ring(env, exports);
    td::init_flood(env, exports);
    td::init_forwarder(env, exports);
    td::init_netlink(env, exports);
    td::init_lan_socket(env, exports);
    td::init_bpf(env, exports);
    td::init_tunnel(env, exports);
  }
};

}  // namespace

NODE_API_ADDON(Addon)
