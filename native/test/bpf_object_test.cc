#include "../bpf_object.h"

#include <cstring>

#include "check.h"
#include "elf_builder.h"

namespace {

using elf::Object;

/// Why it is refused, or nothing.
std::string refusal(const std::vector<uint8_t>& file, const char* section = "xdp") {
  try {
    td::read_bpf_object(file, section);
  } catch (const td::ObjectError& error) {
    return error.what;
  }
  return {};
}
bool says(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST(bpf_object_with_two_maps) {
  td::BpfObject object = td::read_bpf_object(Object().file(), "xdp");
  CHECK_EQ(object.code.size(), 7U);
  CHECK(object.license == "GPL");
  CHECK_EQ(object.maps.size(), 3U);
  const std::vector<std::string> names = td::map_names(object);
  CHECK_EQ(names.size(), 2U);
  CHECK(names[0] == "td_table" && names[1] == "td_counters");
  td::place_maps(object, [](const std::string& name) { return name == "td_table" ? 7 : 9; });
  CHECK_EQ(object.code[0].imm, 7);
  CHECK_EQ(object.code[2].imm, 9);
  CHECK_EQ(object.code[4].imm, 7);
  for (const int i : {0, 2, 4}) CHECK_EQ(object.code[static_cast<std::size_t>(i)].src_reg, BPF_PSEUDO_MAP_FD);
}

TEST(bpf_object_whose_map_is_not_given) {
  td::BpfObject object = td::read_bpf_object(Object().file(), "xdp");
  std::string said;
  try {
    td::place_maps(object, [](const std::string& name) { return name == "td_table" ? 7 : -1; });
  } catch (const td::ObjectError& error) {
    said = error.what;
  }
  CHECK(says(said, "td_counters"));
}

TEST(bpf_object_that_is_something_else) {
  CHECK(says(refusal({}), "beyond the end"));
  CHECK(says(refusal(std::vector<uint8_t>(64, 0)), "no ELF file"));
  CHECK(says(refusal(Object{.machine = 62}.file()), "no 64-bit little-endian relocatable object for BPF"));
  CHECK(says(refusal(Object().file(), "tc"), "no section tc"));
  CHECK(says(refusal(Object().file(), "license"), "is no program"));
  CHECK(says(refusal(Object{.license_section = "licence"}.file()), "no license"));
  CHECK(says(refusal(Object{.license = {'G', 'P', 'L'}}.file()), "without end"));
}

TEST(bpf_object_that_names_what_is_no_map) {
  CHECK(says(refusal(Object{.map_section = ".rodata"}.file()), "td_table in .rodata"));
  CHECK(says(refusal(Object{.relocation_type = 10}.file()), "only maps can be named"));
  CHECK(says(refusal(Object{.symbol_section = 0}.file()), "another file"));
  CHECK(says(refusal(Object{.symbol_section = 0xfff1}.file()), "another file"));
  CHECK(says(refusal(Object{.map_name = ""}.file()), "must not be static"));
}

TEST(bpf_object_with_relocations_that_fit_nothing) {
  CHECK(says(refusal(Object{.relocation_offset = 4}.file()), "outside of the program"));
  CHECK(says(refusal(Object{.relocation_offset = 7 * 8}.file()), "outside of the program"));
  CHECK(says(refusal(Object{.relocation_offset = 6 * 8}.file()), "loads no address"));
  CHECK(says(refusal(Object{.relocation_offset = 8}.file()), "loads no address"));
  CHECK(says(refusal(Object{.relocation_symbol = 99}.file()), "symbol beyond the end"));
  CHECK(says(refusal(Object{.wide_value = 8}.file()), "a place inside of the map td_table"));
}

TEST(bpf_object_that_is_cut_anywhere) {
  const std::vector<uint8_t> whole = Object().file();
  for (std::size_t length = 0; length < whole.size(); length++) {
    CHECK(!refusal({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)}).empty());
  }
  CHECK(refusal(whole).empty());
}
