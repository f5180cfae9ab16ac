#include "core/kernels/compare.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "core/kernels/statistics_kernels.h"

namespace torchmap {
namespace {

// Integers that differ may be the same double.
template <typename T>
void compare_longs(const std::byte* a, const std::byte* b, uint64_t count, double tolerance,
                   Difference& difference) {
  for (uint64_t i = 0; i < count; ++i) {
    T x, y;
    std::memcpy(&x, a + i * sizeof(T), sizeof x);
    std::memcpy(&y, b + i * sizeof(T), sizeof y);
    if (x == y) continue;
    const uint64_t apart = x > y ? static_cast<uint64_t>(x) - static_cast<uint64_t>(y)
                                 : static_cast<uint64_t>(y) - static_cast<uint64_t>(x);
    const auto distance = static_cast<double>(apart);
    const double size =
        std::max(std::abs(static_cast<double>(x)), std::abs(static_cast<double>(y)));
    difference.differing += static_cast<uint64_t>(distance > tolerance);
    difference.absolute = std::max(difference.absolute, distance);
    difference.relative = std::max(difference.relative, distance / size);
  }
}

}  // namespace

void Difference::add(const Difference& other) {
  differing += other.differing;
  not_finite += other.not_finite;
  absolute = std::max(absolute, other.absolute);
  relative = std::max(relative, other.relative);
}

bool compares(DType dtype) { return has_statistics(dtype); }

void add_difference(const std::byte* a, DType dtype_a, const std::byte* b, DType dtype_b,
                    uint64_t count, double tolerance, Difference& difference) {
  const StatisticsKernels& kernels = statistics_kernels();
  const uint64_t bytes_a = info(dtype_a).bytes, bytes_b = info(dtype_b).bytes;
  std::array<double, kStatisticsBlock> wide_a, wide_b;
  for (uint64_t i = 0; i < count; i += kStatisticsBlock) {
    const uint64_t taken = std::min(kStatisticsBlock, count - i);
    const std::byte *block_a = a + i * bytes_a, *block_b = b + i * bytes_b;
    if (dtype_a == dtype_b) {
      // The same bits are the same elements, and most blocks of most tensors.
      if (std::memcmp(block_a, block_b, taken * bytes_a) == 0) continue;
      if (dtype_a == DType::kInt64) {
        compare_longs<int64_t>(block_a, block_b, taken, tolerance, difference);
        continue;
      }
      if (dtype_a == DType::kUInt64) {
        compare_longs<uint64_t>(block_a, block_b, taken, tolerance, difference);
        continue;
      }
    }
    kernels.compare(widened(kernels, block_a, dtype_a, taken, wide_a.data()),
                    widened(kernels, block_b, dtype_b, taken, wide_b.data()), taken, tolerance,
                    difference);
  }
}

}  // namespace torchmap
