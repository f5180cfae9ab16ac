// Element conversions. Sources may be unaligned.
#pragma once

#include "core/torch/dtype.h"

namespace torchmap {

// Row-major elements to float32. Not for complex, packed (quint4x2, quint2x4) or opaque (bits*)
// dtypes.
bool converts_to_float32(DType dtype);
void to_float32(const std::byte* source, DType dtype, uint64_t count, float* target);

// Conjugates complex elements, negates any elements, in place.
void conjugate(std::byte* bytes, DType dtype, uint64_t count);
void negate(std::byte* bytes, DType dtype, uint64_t count);

// (q - zero_point) * scale over [outer, channels, inner], with one scale and zero point for each
// channel. Packed dtypes hold elements in logical order, low bits first
// (aten/src/ATen/native/quantized, v2.13).
struct ChannelShape {
  uint64_t outer, channels, inner;
};
void dequantize(const std::byte* source, DType dtype, ChannelShape shape, const double* scales,
                const double* zero_points, float* target);

}  // namespace torchmap
