// Squares of elements turned over, in the processor's registers and first cache.
#pragma once

#include <cstddef>
#include <cstdint>

namespace torchmap {

// Rows and columns of a tile, at most.
constexpr size_t kTile = 64;

// Where elements lie, in bytes from one row, and from one column, to the next.
struct Steps {
  ptrdiff_t row, column;
};

// Copies `rows` x `columns` elements of `itemsize` bytes (1, 2, 4, 8 or 16) to a target whose rows
// lie `target_step` bytes apart, the elements of each together. Meant for a source whose neighbours
// are those of a column.
void transpose_tile(const std::byte* source, Steps steps, std::byte* target, ptrdiff_t target_step,
                    size_t rows, size_t columns, uint32_t itemsize);

}  // namespace torchmap
