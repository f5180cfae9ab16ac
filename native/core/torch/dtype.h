// The element types of torch, from dtypes.def.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace torchmap {

enum class DType : uint8_t {
#define DTYPE(id, name, storage, bytes, swap, bits, kind) k##id,
#include "core/torch/dtypes.def"
#undef DTYPE
  kCount
};

enum class DTypeKind : uint8_t { kFloat, kComplex, kInt, kBool, kQuantized, kBits };

struct DTypeInfo {
  std::string_view name;     // torch's, without "torch."
  std::string_view storage;  // class name without "Storage"
  uint8_t bytes;             // of one storage element
  uint8_t swap;              // bytes of the unit that byte order applies to
  uint8_t bits;              // of one tensor element
  DTypeKind kind;
};

const DTypeInfo& info(DType dtype);

// By torch's name ("float32"); sub-byte shell dtypes (uint1..int7) have none.
std::optional<DType> dtype_by_name(std::string_view name);

// By class name without "Storage" or "Tensor" behind it ("Float", "BFloat16").
std::optional<DType> dtype_by_class(std::string_view name);

// Storage elements (of `info().bytes`) that hold `elements` tensor elements: fewer for quint4x2,
// quint2x4.
inline uint64_t packed_elements(DType dtype, uint64_t elements) {
  const DTypeInfo& type = info(dtype);
  if (8u * type.bytes == type.bits) return elements;  // nearly always: no division
  const uint32_t per_unit = 8u * type.bytes / type.bits;
  return elements / per_unit + (elements % per_unit != 0);
}

}  // namespace torchmap
