// What the parts of the addon add to its exports. One call per JavaScript environment (main thread and every worker).
#pragma once

#include <napi.h>

namespace td {

void init_system(Napi::Env env, Napi::Object exports);
void init_table(Napi::Env env, Napi::Object exports);
void init_rewriter(Napi::Env env, Napi::Object exports);
void init_xsk(Napi::Env env, Napi::Object exports);
void init_twin(Napi::Env env, Napi::Object exports);
void init_packet_ring(Napi::Env env, Napi::Object exports);
void init_flood(Napi::Env env, Napi::Object exports);
void init_forwarder(Napi::Env env, Napi::Object exports);
void init_netlink(Napi::Env env, Napi::Object exports);
void init_lan_socket(Napi::Env env, Napi::Object exports);
void init_bpf(Napi::Env env, Napi::Object exports);
void init_tunnel(Napi::Env env, Napi::Object exports);

}  // namespace td
