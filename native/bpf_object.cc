#include "bpf_object.h"

#include <elf.h>

#include <algorithm>
#include <cstring>

#ifndef EM_BPF
#define EM_BPF 247
#endif

namespace td {
namespace {

constexpr uint32_t kRelocation64 = 1;  // R_BPF_64_64: both halves of a wide load
constexpr std::size_t kInstructionLimit = 1'000'000;
constexpr std::size_t kWideLoad = 2;  // instructions
constexpr uint8_t kWideLoadCode = BPF_LD | BPF_IMM | BPF_DW;

[[noreturn]] void refuse(const std::string& what) { throw ObjectError{"BPF object: " + what}; }

/// A file of which nothing is believed.
class Elf {
 public:
  explicit Elf(std::span<const uint8_t> file) : file_(file) {
    const auto header = at<Elf64_Ehdr>(file_, 0, "ELF header");
    if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) refuse("no ELF file");
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_type != ET_REL ||
        header.e_machine != EM_BPF) {
      refuse("an ELF file, but no 64-bit little-endian relocatable object for BPF");
    }
    if (header.e_shentsize != sizeof(Elf64_Shdr)) refuse("section headers of an unknown length");
    const auto table = part(file_, header.e_shoff, uint64_t{header.e_shnum} * sizeof(Elf64_Shdr), "section headers");
    sections_.resize(header.e_shnum);
    if (!sections_.empty()) std::memcpy(sections_.data(), table.data(), table.size());
    if (header.e_shstrndx >= sections_.size()) refuse("no names of sections");
    names_ = content(sections_[header.e_shstrndx], "names of sections");
  }

  [[nodiscard]] const std::vector<Elf64_Shdr>& sections() const { return sections_; }
  [[nodiscard]] std::string name(const Elf64_Shdr& section) const { return text(names_, section.sh_name); }

  [[nodiscard]] std::span<const uint8_t> content(const Elf64_Shdr& section, const char* what) const {
    if (section.sh_type == SHT_NOBITS) refuse(std::string(what) + " without content");
    return part(file_, section.sh_offset, section.sh_size, what);
  }

  /// Index of the section with that name, 0 (which is never a section) when there is none.
  [[nodiscard]] std::size_t find(const std::string& wanted) const {
    for (std::size_t i = 1; i < sections_.size(); i++) {
      if (name(sections_[i]) == wanted) return i;
    }
    return 0;
  }

  static std::string text(std::span<const uint8_t> strings, uint64_t offset) {
    if (offset >= strings.size()) refuse("a name beyond its table");
    const auto from = strings.subspan(offset);
    const auto end = std::find(from.begin(), from.end(), 0);
    if (end == from.end()) refuse("a name without end");
    return {from.begin(), end};
  }

  static std::span<const uint8_t> part(std::span<const uint8_t> whole, uint64_t offset, uint64_t length,
                                       const char* what) {
    if (offset > whole.size() || length > whole.size() - offset) refuse(std::string(what) + " beyond the end");
    return whole.subspan(offset, length);
  }

  template <typename T>
  static T at(std::span<const uint8_t> whole, uint64_t offset, const char* what) {
    T value;
    std::memcpy(&value, part(whole, offset, sizeof value, what).data(), sizeof value);
    return value;
  }

 private:
  std::span<const uint8_t> file_;
  std::vector<Elf64_Shdr> sections_;
  std::span<const uint8_t> names_;
};

/// What one relocation names: a map, or the file is refused.
MapReference reference(const Elf& elf, const Elf64_Rel& relocation, const Elf64_Shdr& symbols,
                       const BpfObject& object) {
  const uint64_t instruction = relocation.r_offset / sizeof(bpf_insn);
  if (relocation.r_offset % sizeof(bpf_insn) != 0 || instruction >= object.code.size()) {
    refuse("a relocation outside of the program");
  }
  const auto table = elf.content(symbols, "symbols");
  const auto symbol = Elf::at<Elf64_Sym>(table, uint64_t{ELF64_R_SYM(relocation.r_info)} * sizeof(Elf64_Sym), "symbol");
  if (symbols.sh_link >= elf.sections().size()) refuse("symbols without names");
  const std::string name = Elf::text(elf.content(elf.sections()[symbols.sh_link], "names of symbols"), symbol.st_name);
  const bool inside = symbol.st_shndx > 0 && symbol.st_shndx < elf.sections().size();
  const std::string home = inside ? elf.name(elf.sections()[symbol.st_shndx]) : "another file";
  if (ELF64_R_TYPE(relocation.r_info) != kRelocation64 || home != ".maps") {
    refuse("instruction " + std::to_string(instruction) + " names " + (name.empty() ? "something" : name) + " in " +
           home + ": only maps can be named (functions must be inlined, constants too)");
  }
  if (name.empty()) refuse("a map without name: it must not be static");
  if (instruction + kWideLoad > object.code.size() || object.code[instruction].code != kWideLoadCode) {
    refuse("the map " + name + " is named by an instruction that loads no address");
  }
  if (object.code[instruction].imm != 0 || object.code[instruction + 1].imm != 0) {
    refuse("a place inside of the map " + name + " is named");
  }
  return {static_cast<uint32_t>(instruction), name};
}

}  // namespace

BpfObject read_bpf_object(std::span<const uint8_t> file, const std::string& section) {
  const Elf elf(file);
  BpfObject object;
  const std::size_t program = elf.find(section);
  if (program == 0) refuse("no section " + section);
  const Elf64_Shdr& home = elf.sections()[program];
  if (home.sh_type != SHT_PROGBITS || (home.sh_flags & SHF_EXECINSTR) == 0) {
    refuse("section " + section + " is no program");
  }
  const auto code = elf.content(home, "program");
  if (code.empty() || code.size() % sizeof(bpf_insn) != 0 || code.size() / sizeof(bpf_insn) > kInstructionLimit) {
    refuse("section " + section + " has " + std::to_string(code.size()) + " bytes, which is no program");
  }
  object.code.resize(code.size() / sizeof(bpf_insn));
  std::memcpy(object.code.data(), code.data(), code.size());

  const std::size_t license = elf.find("license");
  if (license == 0) refuse("no license section");
  object.license = Elf::text(elf.content(elf.sections()[license], "license"), 0);

  for (const Elf64_Shdr& other : elf.sections()) {
    if ((other.sh_type != SHT_REL && other.sh_type != SHT_RELA) || other.sh_info != program) continue;
    if (other.sh_type == SHT_RELA) refuse("relocations with addends");
    if (other.sh_link >= elf.sections().size()) refuse("relocations without symbols");
    const auto table = elf.content(other, "relocations");
    if (table.size() / sizeof(Elf64_Rel) > object.code.size()) refuse("more relocations than instructions");
    for (std::size_t offset = 0; offset + sizeof(Elf64_Rel) <= table.size(); offset += sizeof(Elf64_Rel)) {
      const auto relocation = Elf::at<Elf64_Rel>(table, offset, "relocation");
      object.maps.push_back(reference(elf, relocation, elf.sections()[other.sh_link], object));
    }
  }
  return object;
}

std::vector<std::string> map_names(const BpfObject& object) {
  std::vector<std::string> names;
  for (const MapReference& map : object.maps) {
    if (std::find(names.begin(), names.end(), map.name) == names.end()) names.push_back(map.name);
  }
  return names;
}

void place_maps(BpfObject& object, const std::function<int(const std::string&)>& descriptor_of) {
  for (const MapReference& map : object.maps) {
    const int fd = descriptor_of(map.name);
    if (fd < 0) refuse("the program needs the map " + map.name + ", which was not given");
    bpf_insn& load = object.code[map.instruction];
    load.src_reg = BPF_PSEUDO_MAP_FD;
    load.imm = fd;
  }
}

}  // namespace td
