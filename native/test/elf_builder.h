// A small ELF object for BPF, with something wrong where a test wants it.
#pragma once

#include <elf.h>
#include <linux/bpf.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace elf {

struct Object {
  uint16_t machine = 247;  // EM_BPF
  std::string map_section = ".maps";
  std::string license_section = "license";
  std::vector<uint8_t> license = {'G', 'P', 'L', 0};
  std::string map_name = "td_table";
  uint32_t relocation_type = 1;
  uint64_t relocation_offset = 0;
  uint32_t relocation_symbol = 1;
  uint16_t symbol_section = 3;
  int32_t wide_value = 0;

  /// Three wide loads of maps (td_table, td_counters, td_table) and an exit. The fields above change the first.
  [[nodiscard]] std::vector<uint8_t> file() const {
    std::vector<bpf_insn> code(7);
    for (std::size_t i = 0; i < 6; i += 2) code[i] = bpf_insn{BPF_LD | BPF_IMM | BPF_DW, 1, 0, 0, 0};
    code[0].imm = wide_value;
    code[6] = bpf_insn{BPF_JMP | BPF_EXIT, 0, 0, 0, 0};

    std::vector<uint8_t> names(1);
    const auto named = [&names](const std::string& name) {
      const auto at = static_cast<uint32_t>(names.size());
      names.insert(names.end(), name.begin(), name.end());
      names.push_back(0);
      return at;
    };
    std::vector<Elf64_Sym> symbols(3);
    symbols[1].st_name = named(map_name);
    symbols[1].st_shndx = symbol_section;
    symbols[2].st_name = named("td_counters");
    symbols[2].st_shndx = 3;
    const auto info = [](uint32_t symbol, uint32_t type) { return (uint64_t{symbol} << 32) | type; };
    const std::vector<Elf64_Rel> relocations = {{relocation_offset, info(relocation_symbol, relocation_type)},
                                                {16, info(2, 1)},
                                                {32, info(1, relocation_type)}};

    std::vector<Elf64_Shdr> sections(7);
    std::vector<uint8_t> out(sizeof(Elf64_Ehdr));
    const auto put = [&](std::size_t index, const std::string& name, uint32_t type, const void* data,
                         std::size_t length) -> Elf64_Shdr& {
      Elf64_Shdr& section = sections[index];
      section.sh_name = named(name);
      section.sh_type = type;
      section.sh_offset = out.size();
      section.sh_size = length;
      const auto* bytes = static_cast<const uint8_t*>(data);
      out.insert(out.end(), bytes, bytes + length);
      return section;
    };
    const std::vector<uint8_t> maps(16);
    put(1, "xdp", SHT_PROGBITS, code.data(), code.size() * sizeof(bpf_insn)).sh_flags = SHF_ALLOC | SHF_EXECINSTR;
    Elf64_Shdr& table = put(2, ".relxdp", SHT_REL, relocations.data(), relocations.size() * sizeof(Elf64_Rel));
    table.sh_info = 1;
    table.sh_link = 5;
    put(3, map_section, SHT_PROGBITS, maps.data(), maps.size());
    put(4, license_section, SHT_PROGBITS, license.data(), license.size());
    put(5, ".symtab", SHT_SYMTAB, symbols.data(), symbols.size() * sizeof(Elf64_Sym)).sh_link = 6;
    const uint32_t own = named(".strtab");
    const std::vector<uint8_t> strings = names;
    put(6, "", SHT_STRTAB, strings.data(), strings.size()).sh_name = own;

    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_type = ET_REL;
    header.e_machine = machine;
    header.e_shoff = out.size();
    header.e_shentsize = sizeof(Elf64_Shdr);
    header.e_shnum = static_cast<uint16_t>(sections.size());
    header.e_shstrndx = 6;
    const auto* headers = reinterpret_cast<const uint8_t*>(sections.data());
    out.insert(out.end(), headers, headers + sections.size() * sizeof(Elf64_Shdr));
    std::memcpy(out.data(), &header, sizeof header);
    return out;
  }
};

}  // namespace elf
