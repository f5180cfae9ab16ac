// Puts blocks into larger arrays: the chunks of a sharded tensor into the whole one.
#pragma once

#include <cstdint>
#include <span>

namespace torchmap {

// Whether a block of `sizes` at `offsets` lies inside an array of `shape`. False where the three
// differ in length or a number is negative.
[[nodiscard]] bool lies_inside(std::span<const int64_t> sizes, std::span<const int64_t> offsets,
                               std::span<const int64_t> shape);

// Copies a row-major block of `sizes` to the region at `offsets` of a row-major array of `shape`,
// in the longest runs that lie together in both. Elements have `itemsize` bytes. The caller has
// checked that the block lies inside, and that both memories have all their elements; they do not
// overlap.
void place(const std::byte* block, uint32_t itemsize, std::span<const int64_t> sizes,
           std::span<const int64_t> offsets, std::span<const int64_t> shape, std::byte* target);

}  // namespace torchmap
