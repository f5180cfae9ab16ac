// Sizes and strides checked the way torch checks them in Tensor.set_
// (aten/src/ATen/native/Resize.h, v2.13): what is not inside the storage is no tensor.
#pragma once

#include <span>

#include "core/status.h"

namespace torchmap {

struct Geometry {
  uint64_t numel = 0;   // elements
  uint64_t extent = 0;  // elements from the start of the storage to the end of the last one used
  bool contiguous = false;  // row-major without gaps (torch's rule: sizes of 1 may have any stride)
};

// kBadTensor for a negative size, stride or offset, for different numbers of them, or where a
// product overflows.
Result<Geometry> check_geometry(int64_t offset, std::span<const int64_t> sizes,
                                std::span<const int64_t> strides);

// Row-major strides for `sizes`; a size of 0 counts as 1, as in torch.
void contiguous_strides(std::span<const int64_t> sizes, std::span<int64_t> strides);

}  // namespace torchmap
