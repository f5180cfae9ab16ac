// How far the elements of two tensors are from each other.
#pragma once

#include <cstddef>

#include "core/torch/dtype.h"

namespace torchmap {

struct Difference {
  uint64_t differing = 0;   // elements
  uint64_t not_finite = 0;  // of these, such that one of the two is infinite or NaN
  // Of elements that are both finite, whether or not they count as the same: |a - b|, and that
  // divided by the larger of |a| and |b|.
  double absolute = 0, relative = 0;

  void add(const Difference& other);
};

// Whether there is a way to compare such elements: see has_statistics.
bool compares(DType dtype);

// Compares `count` row-major elements as float64; 64-bit integers of one dtype exactly. NaN is the
// same as NaN, 0 as -0. Finite elements that are no further apart than `tolerance` are the same.
void add_difference(const std::byte* a, DType dtype_a, const std::byte* b, DType dtype_b,
                    uint64_t count, double tolerance, Difference& difference);

}  // namespace torchmap
