#include "core/kernels/place.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

namespace torchmap {

bool lies_inside(std::span<const int64_t> sizes, std::span<const int64_t> offsets,
                 std::span<const int64_t> shape) {
  if (sizes.size() != shape.size() || offsets.size() != shape.size()) return false;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (sizes[d] < 0 || offsets[d] < 0 || offsets[d] > shape[d]) return false;
    if (sizes[d] > shape[d] - offsets[d]) return false;
  }
  return true;
}

void place(const std::byte* block, uint32_t itemsize, std::span<const int64_t> sizes,
           std::span<const int64_t> offsets, std::span<const int64_t> shape, std::byte* target) {
  if (std::find(sizes.begin(), sizes.end(), 0) != sizes.end()) return;
  // Dimensions that the block fills are one run together with the innermost one it does not fill.
  size_t outer = sizes.size();
  size_t run = itemsize;
  while (outer > 0) {
    --outer;
    run *= static_cast<size_t>(sizes[outer]);
    if (sizes[outer] != shape[outer]) break;
  }
  // Bytes from one index to the next along each dimension of the target.
  std::vector<size_t> steps(shape.size());
  size_t step = itemsize;
  for (size_t d = shape.size(); d > 0; --d) {
    steps[d - 1] = step;
    step *= static_cast<size_t>(shape[d - 1]);
  }
  std::byte* to = target;
  for (size_t d = 0; d < shape.size(); ++d) to += static_cast<size_t>(offsets[d]) * steps[d];
  std::vector<int64_t> index(outer, 0);
  for (;;) {
    std::memcpy(to, block, run);
    block += run;
    size_t d = outer;
    for (; d > 0; --d) {
      to += steps[d - 1];
      if (++index[d - 1] < sizes[d - 1]) break;
      to -= steps[d - 1] * static_cast<size_t>(sizes[d - 1]);
      index[d - 1] = 0;
    }
    if (d == 0) return;
  }
}

}  // namespace torchmap
