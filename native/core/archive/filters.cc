#include "core/archive/filters.h"

#include <array>

namespace torchmap {
namespace {

constexpr uint64_t kDelta = 0x03, kX86 = 0x04;
// From that of Delta on.
constexpr std::array kFilterNames = {"Delta",       "BCJ (x86)",   "BCJ (PowerPC)",
                                     "BCJ (IA-64)", "BCJ (ARM)",   "BCJ (ARM Thumb)",
                                     "BCJ (SPARC)", "BCJ (ARM64)", "BCJ (RISC-V)"};

bool is_sign(uint32_t byte) { return byte == 0 || byte == 0xFF; }

}  // namespace

void undo_delta(std::span<std::byte> bytes, size_t distance) {
  for (size_t i = distance; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>(
        (std::to_integer<unsigned>(bytes[i]) + std::to_integer<unsigned>(bytes[i - distance])) &
        0xFF);
}

void undo_x86(std::span<std::byte> bytes) {
  constexpr size_t kInstruction = 5;
  // By which of the three bytes before could begin an instruction: whether this may be one, and
  // which byte would be the highest of that other one's place.
  constexpr std::array<bool, 8> kMayBe{true, true, true, false, true, false, false, false};
  constexpr std::array<unsigned, 8> kHighest{0, 1, 2, 2, 3, 3, 3, 3};
  uint32_t mask = 0;
  size_t last = SIZE_MAX;  // where one was that looked like it
  for (size_t at = 0; bytes.size() >= kInstruction && at <= bytes.size() - kInstruction;) {
    std::byte* const p = bytes.data() + at;
    const auto byte = [&](unsigned i) { return std::to_integer<uint32_t>(p[i]); };
    if ((byte(0) & 0xFE) != 0xE8) {
      ++at;
      continue;
    }
    const size_t distance = last == SIZE_MAX ? at + 1 : at - last;
    mask = distance > 3 ? 0 : mask << (distance - 1) & 7;
    last = at;
    const bool is_other = mask != 0 && (!kMayBe[mask] || is_sign(byte(4 - kHighest[mask])));
    if (is_other || !is_sign(byte(4))) {
      mask = (mask << 1 & 7) | 1;
      ++at;
      continue;
    }
    uint32_t place = load_le<uint32_t>(p + 1);
    for (;;) {
      place -= static_cast<uint32_t>(at + kInstruction);
      if (mask == 0) break;
      const unsigned index = kHighest[mask] * 8;
      if (!is_sign(place >> (24 - index) & 0xFF)) break;
      place ^= (uint32_t{1} << (32 - index)) - 1;
    }
    for (unsigned i = 0; i < 3; ++i) p[1 + i] = static_cast<std::byte>(place >> (8 * i) & 0xFF);
    p[4] = (place >> 24 & 1) != 0 ? std::byte{0xFF} : std::byte{0};
    at += kInstruction;
  }
}

const char* filter_name(uint64_t id) {
  return id >= kDelta && id - kDelta < kFilterNames.size() ? kFilterNames[id - kDelta] : nullptr;
}

// x86 may say where the bytes would stand in memory; nobody does.
bool is_filter(uint64_t id, ByteSpan properties) {
  return (id == kDelta && properties.size() == 1) || (id == kX86 && properties.empty());
}

void undo_filter(uint64_t id, ByteSpan properties, std::span<std::byte> bytes) {
  if (id == kDelta) {
    undo_delta(bytes, std::to_integer<size_t>(properties[0]) + 1);
  } else {
    undo_x86(bytes);
  }
}

}  // namespace torchmap
