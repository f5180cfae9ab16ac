#include "core/kernels/gather.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "core/kernels/fresh_pages.h"
#include "core/kernels/transpose.h"
#include "core/threads.h"

namespace torchmap {
namespace {

// Bytes of the target a thread writes at a time.
constexpr uint64_t kPiece = uint64_t{2} << 20;

struct Dim {
  uint64_t size;
  int64_t stride;  // bytes in the source
  uint64_t step;   // bytes in the target
};

// Dimensions without those of size 1, and neighbours that step as one made one. Each is two or
// more, so that there are fewer than 64: their product is a number of elements.
struct Dims {
  std::array<Dim, 64> dims;
  size_t count = 0;

  Dim& operator[](size_t i) { return dims[i]; }
  const Dim& operator[](size_t i) const { return dims[i]; }
  void remove(size_t i) {
    std::copy(dims.begin() + static_cast<ptrdiff_t>(i) + 1,
              dims.begin() + static_cast<ptrdiff_t>(count),
              dims.begin() + static_cast<ptrdiff_t>(i));
    --count;
  }
};

Dims collapse(std::span<const int64_t> sizes, std::span<const int64_t> strides, uint32_t itemsize) {
  Dims dims;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == 1) continue;
    const auto size = static_cast<uint64_t>(sizes[i]);
    if (dims.count > 0 && dims[dims.count - 1].stride == strides[i] * sizes[i]) {
      dims[dims.count - 1].size *= size;
      dims[dims.count - 1].stride = strides[i];
    } else {
      dims[dims.count++] = {size, strides[i], 0};
    }
  }
  uint64_t step = itemsize;
  for (size_t i = dims.count; i > 0; --i) {
    dims[i - 1].stride *= itemsize;
    dims[i - 1].step = step;
    step *= dims[i - 1].size;
  }
  return dims;
}

template <size_t N>
void copy_strided(const std::byte* source, int64_t stride, uint64_t count, std::byte* target) {
  for (uint64_t i = 0; i < count; ++i, source += stride) std::memcpy(target + i * N, source, N);
}

void copy_items(const std::byte* source, int64_t stride, uint64_t count, uint32_t itemsize,
                std::byte* target) {
  if (stride == itemsize) {
    std::memcpy(target, source, count * itemsize);
    return;
  }
  switch (itemsize) {
    case 1:
      return copy_strided<1>(source, stride, count, target);
    case 2:
      return copy_strided<2>(source, stride, count, target);
    case 4:
      return copy_strided<4>(source, stride, count, target);
    case 8:
      return copy_strided<8>(source, stride, count, target);
    default:
      return copy_strided<16>(source, stride, count, target);
  }
}

// A place in `dims`, which goes on as the last one goes round fastest.
class Place {
 public:
  Place(const Dims& dims, uint64_t number) : dims_(dims) {
    for (size_t i = dims.count; i > 0; --i) {
      const Dim& dim = dims[i - 1];
      index_[i - 1] = number % dim.size;
      number /= dim.size;
      source_ += static_cast<int64_t>(index_[i - 1]) * dim.stride;
      target_ += index_[i - 1] * dim.step;
    }
  }

  int64_t source() const { return source_; }
  uint64_t target() const { return target_; }

  void next() {
    for (size_t i = dims_.count; i > 0; --i) {
      const Dim& dim = dims_[i - 1];
      source_ += dim.stride;
      target_ += dim.step;
      if (++index_[i - 1] < dim.size) return;
      source_ -= static_cast<int64_t>(dim.size) * dim.stride;
      target_ -= dim.size * dim.step;
      index_[i - 1] = 0;
    }
  }

 private:
  const Dims& dims_;
  std::array<uint64_t, 64> index_;
  int64_t source_ = 0;
  uint64_t target_ = 0;
};

uint64_t product(const Dims& dims) {
  uint64_t all = 1;
  for (size_t i = 0; i < dims.count; ++i) all *= dims[i].size;
  return all;
}

// How many units of `bytes` each make a piece.
uint64_t units_of(uint64_t bytes) { return std::max<uint64_t>(kPiece / bytes, 1); }

// Runs along the last dimension, long ones in parts.
void gather_runs(const std::byte* source, uint32_t itemsize, Dims dims, std::byte* target) {
  const Dim inner = dims[--dims.count];
  const uint64_t part = std::min(inner.size, kPiece / itemsize);
  const uint64_t parts = (inner.size - 1) / part + 1;
  in_parallel(product(dims) * parts, units_of(part * itemsize), [&](uint64_t begin, uint64_t end) {
    Place place(dims, begin / parts);
    for (uint64_t unit = begin; unit < end; ++unit) {
      const uint64_t first = unit % parts * part, count = std::min(part, inner.size - first);
      copy_items(source + place.source() + static_cast<int64_t>(first) * inner.stride, inner.stride,
                 count, itemsize, target + place.target() + first * itemsize);
      if (first + count == inner.size) place.next();
    }
  });
}

// Tiles over the last dimension and the one whose elements lie closest in the source. A unit is a
// band of tiles along the last.
void gather_tiles(const std::byte* source, uint32_t itemsize, Dims dims, size_t closest,
                  std::byte* target) {
  const Dim rows = dims[closest], columns = dims[dims.count - 1];
  --dims.count;
  dims.remove(closest);
  const uint64_t bands = (rows.size - 1) / kTile + 1;
  const uint64_t band_bytes = std::min<uint64_t>(rows.size, kTile) * columns.size * itemsize;
  in_parallel(product(dims) * bands, units_of(band_bytes), [&](uint64_t begin, uint64_t end) {
    Place place(dims, begin / bands);
    for (uint64_t unit = begin; unit < end; ++unit) {
      const uint64_t row = unit % bands * kTile,
                     height = std::min<uint64_t>(kTile, rows.size - row);
      const std::byte* from = source + place.source() + static_cast<int64_t>(row) * rows.stride;
      std::byte* to = target + place.target() + row * rows.step;
      for (uint64_t column = 0; column < columns.size; column += kTile) {
        transpose_tile(from + static_cast<int64_t>(column) * columns.stride,
                       {rows.stride, columns.stride}, to + column * itemsize,
                       static_cast<ptrdiff_t>(rows.step), height,
                       std::min<uint64_t>(kTile, columns.size - column), itemsize);
      }
      if (row + height == rows.size) place.next();
    }
  });
}

// Compilers make one instruction of the inner loop, and vectors of the outer one.
template <typename T>
void swap_units(std::span<std::byte> bytes) {
  const uint64_t count = bytes.size() / sizeof(T);
  in_parallel(count, kPiece / sizeof(T), [&](uint64_t begin, uint64_t end) {
    for (uint64_t i = begin; i < end; ++i) {
      std::byte* at = bytes.data() + i * sizeof(T);
      T value, swapped = 0;
      std::memcpy(&value, at, sizeof(T));
      for (size_t byte = 0; byte < sizeof(T); ++byte)
        swapped = static_cast<T>(swapped << 8 | (value >> (8 * byte) & 0xFF));
      std::memcpy(at, &swapped, sizeof(T));
    }
  });
}

}  // namespace

void gather(const std::byte* source, uint32_t itemsize, std::span<const int64_t> sizes,
            std::span<const int64_t> strides, std::byte* target) {
  if (std::find(sizes.begin(), sizes.end(), 0) != sizes.end()) return;
  Dims dims = collapse(sizes, strides, itemsize);
  expect_writes({target, product(dims) * itemsize});
  // Few elements that lie together in both are one larger element.
  if (dims.count > 1 && dims[dims.count - 1].stride == itemsize) {
    const uint64_t larger = dims[dims.count - 1].size * itemsize;
    if (larger <= 16 && std::has_single_bit(larger)) {
      itemsize = static_cast<uint32_t>(larger);
      --dims.count;
    }
  }
  if (dims.count == 0) {
    std::memcpy(target, source, itemsize);
    return;
  }
  const size_t last = dims.count - 1;
  size_t closest = last;
  for (size_t i = 0; i < last; ++i) {
    if (dims[i].stride > 0 && dims[i].stride < dims[closest].stride) closest = i;
  }
  // A few long rows are read faster one after another.
  const bool is_flat = dims[closest].size <= 4 && dims[last].size > kTile;
  if (closest != last && !is_flat) return gather_tiles(source, itemsize, dims, closest, target);
  gather_runs(source, itemsize, dims, target);
}

void swap_bytes(std::span<std::byte> bytes, uint32_t unit) {
  switch (unit) {
    case 2:
      return swap_units<uint16_t>(bytes);
    case 4:
      return swap_units<uint32_t>(bytes);
    case 8:
      return swap_units<uint64_t>(bytes);
    default:
      return;
  }
}

}  // namespace torchmap
