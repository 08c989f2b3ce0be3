// libFuzzer: the reader of objects over any file, and over a good one with bytes changed. Nothing outside of the file
// is read; what is accepted has every map at a wide load inside of the code.
#include <algorithm>
#include <memory>

#include "../bpf_object.h"
#include "elf_builder.h"

#define MUST(condition) \
  if (!(condition)) __builtin_trap()

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::vector<uint8_t> file(data + 1, data + size);
  if ((data[0] & 1) != 0) {  // a place and a byte for it, as often as there are three
    static const std::vector<uint8_t> good = elf::Object().file();
    file = good;
    for (std::size_t i = 1; i + 2 < size; i += 3) file[(data[i] << 8 | data[i + 1]) % file.size()] = data[i + 2];
  }
  const std::unique_ptr<uint8_t[]> exact(new uint8_t[file.size()]);
  std::copy(file.begin(), file.end(), exact.get());
  try {
    td::BpfObject object = td::read_bpf_object({exact.get(), file.size()}, "xdp");
    MUST(!object.code.empty() && object.code.size() * sizeof(bpf_insn) <= file.size());
    for (const td::MapReference& map : object.maps) {
      MUST(map.instruction + 1 < object.code.size() && !map.name.empty());
    }
    td::place_maps(object, [](const std::string&) { return 5; });
    for (const td::MapReference& map : object.maps) MUST(object.code[map.instruction].imm == 5);
  } catch (const td::ObjectError& error) {
    MUST(!error.what.empty());
  }
  return 0;
}
