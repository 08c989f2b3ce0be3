// bpf: bpf(2) for JavaScript, and the bpffs that pins live in.
#include <linux/bpf.h>

#include <algorithm>
#include <vector>

#include "bindings.h"
#include "bpf_object.h"
#include "bpf_sys.h"
#include "napi_util.h"

namespace td {
namespace {

constexpr double kWord = 4294967295.0;
constexpr double kValueLimit = 1 << 24;

std::string text(Napi::Value value, const char* name) {
  if (!value.IsString()) throw Napi::TypeError::New(value.Env(), std::string(name) + ": a string is needed");
  std::string result = value.As<Napi::String>().Utf8Value();
  // The kernel would see another name than the one that was meant.
  if (result.find('\0') != std::string::npos) throw Napi::TypeError::New(value.Env(), std::string(name) + ": no NUL");
  return result;
}

std::span<uint8_t> bytes(Napi::Value value, const char* name) { return typed<uint8_t>(value, name, 0); }

Napi::Error to_error(Napi::Env env, const BpfError& error) {
  Napi::Error result = make_error(env, error.what, error.error);
  if (!error.log.empty()) result.Set("log", Napi::String::New(env, error.log));
  return result;
}

/// A method whose failures in the core become exceptions.
template <Napi::Value (*body)(const Napi::CallbackInfo&)>
Napi::Value guarded(const Napi::CallbackInfo& info) {
  try {
    return body(info);
  } catch (const BpfError& error) {
    throw to_error(info.Env(), error);
  } catch (const ObjectError& error) {
    throw Napi::Error::New(info.Env(), error.what);
  }
}

Napi::Value to_number(Napi::Env env, double value) { return Napi::Number::New(env, value); }
Napi::Value hand_over(Napi::Env env, UniqueFd fd) { return Napi::Number::New(env, fd.release()); }

Napi::Uint8Array new_bytes(Napi::Env env, std::size_t length) { return Napi::Uint8Array::New(env, length); }

Napi::Value create_map(const Napi::CallbackInfo& info) {
  const auto order = options_of(info, "createMap");
  BpfMapInfo map;
  map.type = number(order, "type");
  map.key_length = number(order, "keyLength");
  map.value_length = number(order, "valueLength");
  map.entries = number(order, "entries");
  map.flags = number(order, "flags");
  map.name = text(order.Get("name"), "name");
  return hand_over(info.Env(), bpf_create_map(map));
}

Napi::Value load(const Napi::CallbackInfo& info) {
  const auto order = options_of(info, "load");
  BpfObject program = read_bpf_object(bytes(order.Get("object"), "object"), text(order.Get("section"), "section"));
  const Napi::Object maps = object(order, "maps");
  place_maps(program, [&](const std::string& name) {
    const Napi::Value fd = maps.Has(name) ? maps.Get(name) : info.Env().Undefined();
    return fd.IsNumber() ? descriptor(fd) : -1;
  });
  BpfProgramOrder wanted{program.code, text(order.Get("name"), "name"), program.license,
                         number(order, "expectedAttachType")};
  return hand_over(info.Env(), bpf_load_xdp(wanted));
}

Napi::Value names_of_maps(const Napi::CallbackInfo& info) {
  const auto names = map_names(read_bpf_object(bytes(info[0], "object"), text(info[1], "section")));
  auto result = Napi::Array::New(info.Env(), names.size());
  for (uint32_t i = 0; i < names.size(); i++) result.Set(i, Napi::String::New(info.Env(), names[i]));
  return result;
}

Napi::Value look_up(const Napi::CallbackInfo& info) {
  const auto key = bytes(info[1], "key");
  auto value = new_bytes(info.Env(), integer(info[2], "valueLength", kValueLimit));
  if (!bpf_look_up(descriptor(info[0]), key, {value.Data(), value.ByteLength()})) return info.Env().Null();
  return value;
}

Napi::Value update(const Napi::CallbackInfo& info) {
  bpf_update(descriptor(info[0]), bytes(info[1], "key"), bytes(info[2], "value"));
  return info.Env().Undefined();
}

Napi::Value remove(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), bpf_remove(descriptor(info[0]), bytes(info[1], "key")));
}

Napi::Value next_key(const Napi::CallbackInfo& info) {
  const std::span<uint8_t> key = info[1].IsNull() ? std::span<uint8_t>{} : bytes(info[1], "key");
  auto next = new_bytes(info.Env(), integer(info[2], "keyLength", kValueLimit));
  if (!bpf_next_key(descriptor(info[0]), key, {next.Data(), next.ByteLength()})) return info.Env().Null();
  return next;
}

Napi::Value pin(const Napi::CallbackInfo& info) {
  bpf_pin(descriptor(info[0]), text(info[1], "path"));
  return info.Env().Undefined();
}

Napi::Value open_pinned(const Napi::CallbackInfo& info) {
  return hand_over(info.Env(), bpf_open_pinned(text(info[0], "path")));
}

Napi::Value map_info(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const BpfMapInfo map = bpf_map_info(descriptor(info[0]));
  auto result = Napi::Object::New(env);
  result.Set("id", to_number(env, map.id));
  result.Set("type", to_number(env, map.type));
  result.Set("keyLength", to_number(env, map.key_length));
  result.Set("valueLength", to_number(env, map.value_length));
  result.Set("entries", to_number(env, map.entries));
  result.Set("flags", to_number(env, map.flags));
  result.Set("name", Napi::String::New(env, map.name));
  return result;
}

Napi::Value program_info(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const BpfProgramInfo program = bpf_program_info(descriptor(info[0]));
  auto maps = Napi::Array::New(env, program.maps.size());
  for (uint32_t i = 0; i < program.maps.size(); i++) maps.Set(i, to_number(env, program.maps[i]));
  auto result = Napi::Object::New(env);
  result.Set("id", to_number(env, program.id));
  result.Set("type", to_number(env, program.type));
  result.Set("name", Napi::String::New(env, program.name));
  result.Set("tag", Napi::String::New(env, program.tag));
  result.Set("maps", maps);
  return result;
}

uint32_t word(Napi::Value value, const char* name) { return static_cast<uint32_t>(integer(value, name, kWord)); }

Napi::Value open_program(const Napi::CallbackInfo& info) {
  return hand_over(info.Env(), bpf_open_program(word(info[0], "id")));
}
Napi::Value open_map(const Napi::CallbackInfo& info) {
  return hand_over(info.Env(), bpf_open_map(word(info[0], "id")));
}

Napi::Value link(const Napi::CallbackInfo& info) {
  return hand_over(info.Env(),
                   bpf_link_xdp(descriptor(info[0]), word(info[1], "interfaceIndex"), word(info[2], "mode")));
}

Napi::Value link_info(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const BpfLinkInfo found = bpf_link_info(descriptor(info[0]));
  auto result = Napi::Object::New(env);
  result.Set("id", to_number(env, found.id));
  result.Set("type", to_number(env, found.type));
  result.Set("program", to_number(env, found.program));
  result.Set("interfaceIndex", to_number(env, found.interface_index));
  return result;
}

Napi::Value update_link(const Napi::CallbackInfo& info) {
  bpf_update_link(descriptor(info[0]), descriptor(info[1]));
  return info.Env().Undefined();
}

Napi::Value detach_link(const Napi::CallbackInfo& info) {
  bpf_detach_link(descriptor(info[0]));
  return info.Env().Undefined();
}

Napi::Value test_run(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto options = options_of(info, "testRun");
  BpfTestOrder order;
  order.program = descriptor(options.Get("program"));
  order.data = bytes(options.Get("data"), "data");
  const auto optional = [&](const char* name, uint32_t otherwise) {
    return options.Get(name).IsUndefined() ? otherwise : number(options, name);
  };
  order.ingress_interface = optional("ingressInterface", 0);
  order.queue = optional("queue", 0);
  order.repeat = optional("repeat", 1);
  order.batch = optional("batch", 0);
  order.live = options.Get("live").ToBoolean();
  const BpfTestResult found = bpf_test_run(order);
  auto data = new_bytes(env, found.data.size());
  std::copy(found.data.begin(), found.data.end(), data.Data());
  auto result = Napi::Object::New(env);
  result.Set("action", to_number(env, found.action));
  result.Set("data", data);
  result.Set("nanoseconds", to_number(env, found.nanoseconds));
  return result;
}

Napi::Value possible_cpus(const Napi::CallbackInfo& info) { return to_number(info.Env(), bpf_possible_cpus()); }

int process_of(Napi::Value value) { return static_cast<int>(integer(value, "process", 0x7fffffff)); }

Napi::Value open_bpffs(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  BpffsFolder folder = bpffs_open(text(info[0], "path"), process_of(info[1]), info[2].ToBoolean());
  if (folder.fd.get() < 0) return env.Null();
  auto result = Napi::Object::New(env);
  result.Set("fd", Napi::Number::New(env, folder.fd.release()));
  result.Set("mounted", Napi::Boolean::New(env, folder.mounted));
  return result;
}
Napi::Value unmount_bpffs(const Napi::CallbackInfo& info) {
  bpffs_unmount(text(info[0], "path"), process_of(info[1]));
  return info.Env().Undefined();
}

template <Napi::Value (*body)(const Napi::CallbackInfo&)>
void add(Napi::Object& target, const char* name) {
  target.Set(name, Napi::Function::New(target.Env(), guarded<body>, name));
}

}  // namespace

void init_bpf(Napi::Env env, Napi::Object exports) {
  auto bpf = Napi::Object::New(env);
  add<create_map>(bpf, "createMap");
  add<load>(bpf, "load");
  add<names_of_maps>(bpf, "mapNames");
  add<look_up>(bpf, "lookUp");
  add<update>(bpf, "update");
  add<remove>(bpf, "remove");
  add<next_key>(bpf, "nextKey");
  add<pin>(bpf, "pin");
  add<open_pinned>(bpf, "openPinned");
  add<map_info>(bpf, "mapInfo");
  add<program_info>(bpf, "programInfo");
  add<open_program>(bpf, "openProgramById");
  add<open_map>(bpf, "openMapById");
  add<link>(bpf, "link");
  add<link_info>(bpf, "linkInfo");
  add<update_link>(bpf, "updateLink");
  add<detach_link>(bpf, "detachLink");
  add<test_run>(bpf, "testRun");
  add<possible_cpus>(bpf, "possibleCpus");
  add<open_bpffs>(bpf, "openBpffs");
  add<unmount_bpffs>(bpf, "unmountBpffs");
  exports.Set("bpf", bpf);
}

}  // namespace td
