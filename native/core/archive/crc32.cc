#include "core/archive/crc32.h"

#include <array>

namespace torchmap {
namespace {

// Eight bytes at a time, each by a table of its own ("slicing by 8", Intel 2006).
constexpr size_t kSlices = 8;
using Table = std::array<std::array<uint32_t, 256>, kSlices>;

constexpr Table make_table() {
  Table table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320u : 0);
    table[0][byte] = crc;
  }
  // table[k][b]: the byte b followed by k zero bytes.
  for (size_t slice = 1; slice < kSlices; ++slice) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint32_t before = table[slice - 1][byte];
      table[slice][byte] = (before >> 8) ^ table[0][before & 0xFF];
    }
  }
  return table;
}

constexpr Table kTable = make_table();

}  // namespace

uint32_t crc32(uint32_t crc, ByteSpan bytes) {
  crc = ~crc;
  const std::byte* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= kSlices; at += kSlices, left -= kSlices) {
    const auto word = load_le<uint64_t>(at) ^ crc;
    crc = 0;
    for (size_t i = 0; i < kSlices; ++i)
      crc ^= kTable[kSlices - 1 - i][static_cast<uint8_t>(word >> (8 * i))];
  }
  for (; left > 0; ++at, --left)
    crc = (crc >> 8) ^ kTable[0][(crc ^ std::to_integer<uint32_t>(*at)) & 0xFF];
  return ~crc;
}

}  // namespace torchmap
