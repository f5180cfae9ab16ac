// Weights that a module computes from other ones before each use, computed once: weight norm,
// spectral norm and pruning. Sources are dense, row-major and may be unaligned. Elements are
// float16, bfloat16, float32 (computed in float32) or float64; results are rounded to nearest even.
#pragma once

#include <optional>
#include <span>

#include "core/torch/dtype.h"

namespace torchmap {

// Whether the functions below take elements of this dtype.
bool reparametrizes(DType dtype);

// What torch's own result depends on beside the numbers.
struct NormRounding {
  // The threads torch spreads norms along the last dimension over, from 1.
  uint64_t threads;
  // All other norms: whether multiplying and adding rounds once, as in builds of torch 1.
  bool fused;
};

// v * (g / |v|) with a norm for each index of `dim`, or one norm over all elements: as
// aten/src/ATen/native/WeightNorm.cpp and cpu/WeightNormKernel.cpp (v2.13). A norm of 0 gives NaN.
// `g` has one element for each norm.
void weight_norm(DType dtype, const std::byte* g, const std::byte* v,
                 std::span<const int64_t> sizes, std::optional<size_t> dim,
                 const NormRounding& rounding, std::byte* target);

// weight / (u . (W v)), W being the weight with dimension `dim` in front and the others flat behind
// it, as torch/nn/utils/spectral_norm.py, compute_weight (v2.13) without training. `other`: another
// dimension that the sizes of u and v fit. It is taken if u has the direction of W v for it, as
// power iteration leaves them, and less so for the first one.
void spectral_norm(DType dtype, const std::byte* weight, std::span<const int64_t> sizes, size_t dim,
                   std::optional<size_t> other, const std::byte* u, const std::byte* v,
                   std::byte* target);

// weight / max(|weight|, 1e-12): spectral norm of a vector (torch/nn/utils/parametrizations.py,
// _SpectralNorm.forward, v2.13).
void unit_norm(DType dtype, const std::byte* weight, uint64_t count, bool fused, std::byte* target);

// weight * mask, the mask having any dtype that converts to float32: it is rounded to the weight's
// (torch/nn/utils/prune.py, apply_mask, v2.13).
void apply_mask(DType dtype, const std::byte* weight, DType mask_dtype, const std::byte* mask,
                uint64_t count, std::byte* target);

}  // namespace torchmap
