// Tables of (module, name) pairs that are known when this is compiled, and indexed then.
#pragma once

#include <bit>
#include <cstdint>
#include <string_view>

namespace torchmap {

// A Row has a `module` and a `name`; of equal ones the first is found. The rows outlive the table.
template <typename Row, size_t N>
class NameTable {
 public:
  constexpr explicit NameTable(const Row (&rows)[N]) : rows_(rows) {
    for (size_t i = 0; i < N; ++i) {
      size_t slot = first_slot(rows[i].module, rows[i].name);
      while (slots_[slot] != 0) slot = (slot + 1) % kSlots;
      slots_[slot] = static_cast<uint16_t>(i + 1);
    }
  }

  constexpr const Row* find(std::string_view module, std::string_view name) const {
    size_t slot = first_slot(module, name);
    for (; slots_[slot] != 0; slot = (slot + 1) % kSlots) {
      const Row& row = rows_[slots_[slot] - 1];
      if (row.name == name && row.module == module) return &row;
    }
    return nullptr;
  }

 private:
  static_assert(N < UINT16_MAX);
  static constexpr size_t kSlots = std::bit_ceil(4 * N);

  // Of both lengths, the first character and the last ones, in which names differ.
  static constexpr size_t first_slot(std::string_view module, std::string_view name) {
    uint32_t hash = static_cast<uint32_t>(module.size() * 31 + name.size());
    for (const std::string_view text : {module, name}) {
      const size_t begin = text.size() > 6 ? text.size() - 6 : 0;
      hash = (hash ^ (text.empty() ? 0u : static_cast<uint8_t>(text[0]))) * 0x01000193u;
      for (size_t i = begin; i < text.size(); ++i)
        hash = (hash ^ static_cast<uint8_t>(text[i])) * 0x01000193u;
    }
    return (hash ^ hash >> 15) % kSlots;
  }

  const Row (&rows_)[N];
  uint16_t slots_[kSlots] = {};
};

}  // namespace torchmap
