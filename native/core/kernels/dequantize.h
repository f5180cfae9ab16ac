// Quantised elements to the real numbers they stand for, fast as convert.h is.
#pragma once

#include "core/torch/dtype.h"

namespace torchmap {

// (q - zero_point) * scale over [outer, channels, inner], with one scale and zero point for each
// channel. Packed dtypes hold elements in logical order, low bits first
// (aten/src/ATen/native/quantized, v2.13).
struct ChannelShape {
  uint64_t outer, channels, inner;
};
void dequantize(const std::byte* source, DType dtype, ChannelShape shape, const double* scales,
                const double* zero_points, float* target);

}  // namespace torchmap
