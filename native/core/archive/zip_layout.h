// Numbers of the zip format that more than one file needs (APPNOTE 6.3.10, sections 4.3 and 4.4).
#pragma once

#include <cstddef>
#include <cstdint>

namespace torchmap {

constexpr uint32_t kLocalSignature = 0x04034b50;
constexpr uint32_t kEntrySignature = 0x02014b50;
constexpr size_t kLocalSize = 30;  // bytes, without name and extra field
constexpr size_t kEntrySize = 46;  // bytes, without name, extra field and comment

// In a field of 32 bits: the number is in the zip64 extra field.
constexpr uint32_t kMax32 = 0xFFFFFFFF;

// Methods of compression that torch reads.
constexpr uint16_t kStored = 0;
constexpr uint16_t kDeflated = 8;

}  // namespace torchmap
