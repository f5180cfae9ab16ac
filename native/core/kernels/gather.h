// Copies strided views into row-major order, and fixes values up in place.
#pragma once

#include <cstdint>
#include <span>

namespace torchmap {

// Copies the elements (of `itemsize` bytes: 1, 2, 4, 8 or 16) of a view to `target`, row-major.
// Strides in elements. The caller has checked that every element lies inside `source`; source and
// target do not overlap.
void gather(const std::byte* source, uint32_t itemsize, std::span<const int64_t> sizes,
            std::span<const int64_t> strides, std::byte* target);

// Reverses the bytes of each `unit` (2, 4 or 8 bytes); a rest shorter than a unit is left alone.
void swap_bytes(std::span<std::byte> bytes, uint32_t unit);

}  // namespace torchmap
