#include "core/kernels/negate.h"

#include <cstddef>
#include <cstring>

namespace torchmap {
namespace {

template <typename T, typename Change>
void change(std::byte* bytes, uint64_t first, uint64_t step, uint64_t end, Change&& apply) {
  for (uint64_t i = first; i < end; i += step) {
    T value;
    std::memcpy(&value, bytes + i * sizeof(T), sizeof(T));
    value = apply(value);
    std::memcpy(bytes + i * sizeof(T), &value, sizeof(T));
  }
}

// Flips the sign bit of every `step`th unit of `unit` bytes, from `first` on.
void flip_signs(std::byte* bytes, uint32_t unit, uint64_t first, uint64_t step, uint64_t units) {
  for (uint64_t i = first; i < units; i += step) bytes[i * unit + unit - 1] ^= std::byte{0x80};
}

}  // namespace

void conjugate(std::byte* bytes, DType dtype, uint64_t count) {
  if (info(dtype).kind != DTypeKind::kComplex) return;
  flip_signs(bytes, info(dtype).swap, 1, 2, 2 * count);
}

void negate(std::byte* bytes, DType dtype, uint64_t count) {
  const DTypeInfo& row = info(dtype);
  if (dtype == DType::kFloat8E8M0Fnu) return;  // unsigned
  if (dtype == DType::kFloat8E4M3Fnuz || dtype == DType::kFloat8E5M2Fnuz) {
    // One zero and one NaN, which differ in the sign bit only and have no negatives.
    for (uint64_t i = 0; i < count; ++i) {
      if ((bytes[i] & std::byte{0x7F}) != std::byte{0}) bytes[i] ^= std::byte{0x80};
    }
    return;
  }
  if (row.kind == DTypeKind::kComplex || row.kind == DTypeKind::kFloat) {
    return flip_signs(bytes, row.swap, 0, 1, count * row.bytes / row.swap);
  }
  if (row.kind != DTypeKind::kInt) return;
  const auto minus = [](auto value) {
    return static_cast<decltype(value)>(decltype(value)(0) - value);
  };
  switch (row.bytes) {
    case 1:
      return change<uint8_t>(bytes, 0, 1, count, minus);
    case 2:
      return change<uint16_t>(bytes, 0, 1, count, minus);
    case 4:
      return change<uint32_t>(bytes, 0, 1, count, minus);
    default:
      return change<uint64_t>(bytes, 0, 1, count, minus);
  }
}

}  // namespace torchmap
