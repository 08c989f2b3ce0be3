// The part of ELF that clang makes of one BPF program: instructions of a section, with places where a map belongs.
// Plain C++; every length and offset of the file is looked at before it is used, because the file may be anything.
#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace td {

/// Why a file is no object that can be loaded.
struct ObjectError {
  std::string what;
};

/// One place in the code that names a map: a 16-byte load whose first half takes the descriptor.
struct MapReference {
  uint32_t instruction;
  std::string name;
};

struct BpfObject {
  std::vector<bpf_insn> code;
  std::vector<MapReference> maps;
  std::string license;
};

/// Reads the program in `section` of an ELF64 little-endian relocatable object for BPF. The whole section is the
/// program and begins with it. Relocations other than those of maps (functions of other sections, global variables) are
/// refused.
BpfObject read_bpf_object(std::span<const uint8_t> file, const std::string& section);

/// Names of the maps, each once, in the order of their first use.
std::vector<std::string> map_names(const BpfObject& object);

/// Enters descriptors. `descriptor_of`: −1 for a map that there is not, which is an ObjectError.
void place_maps(BpfObject& object, const std::function<int(const std::string&)>& descriptor_of);

}  // namespace td
