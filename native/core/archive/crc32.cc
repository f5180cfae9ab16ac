#include "core/archive/crc32.h"

#include <array>

#include "core/archive/crc32_kernels.h"
#include "core/archive/crc32_powers.h"

namespace torchmap {
namespace {

// Sixteen bytes at a time, each by a table of its own ("slicing", Intel 2006).
constexpr size_t kSlices = 16;
using Table = std::array<std::array<uint32_t, 256>, kSlices>;

constexpr Table make_table() {
  Table table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc_times_x(crc);
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

Crc32Kernel best_kernel() {
  for (const Crc32Kernel kernel :
       {crc32_vpclmul512(), crc32_vpclmul256(), crc32_pclmul(), crc32_armv8()})
    if (kernel != nullptr) return kernel;
  return crc32_portable;
}

}  // namespace

uint32_t crc32_portable(uint32_t crc, ByteSpan bytes) {
  crc = ~crc;
  const std::byte* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= kSlices; at += kSlices, left -= kSlices) {
    const auto low = load_le<uint64_t>(at) ^ crc;
    const auto high = load_le<uint64_t>(at + 8);
    crc = 0;
    for (size_t i = 0; i < 8; ++i) {
      crc ^= kTable[15 - i][static_cast<uint8_t>(low >> (8 * i))] ^
             kTable[7 - i][static_cast<uint8_t>(high >> (8 * i))];
    }
  }
  for (; left > 0; ++at, --left)
    crc = (crc >> 8) ^ kTable[0][(crc ^ std::to_integer<uint32_t>(*at)) & 0xFF];
  return ~crc;
}

uint32_t crc32(uint32_t crc, ByteSpan bytes) {
  static const Crc32Kernel kernel = best_kernel();
  return kernel(crc, bytes);
}

// Bytes behind the first run multiply its CRC by x^8 each; the inversions cancel out.
uint32_t crc32_combine(uint32_t first, uint32_t second, uint64_t second_length) {
  return crc_multiply(crc_power_of_bytes(second_length), first) ^ second;
}

}  // namespace torchmap
