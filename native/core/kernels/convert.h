// Element conversions, by the widest instructions the processor has, on several threads where that
// pays. Sources may be unaligned.
#pragma once

#include "core/torch/dtype.h"

namespace torchmap {

// Row-major elements to float32. Not for complex, packed (quint4x2, quint2x4) or opaque (bits*)
// dtypes.
bool converts_to_float32(DType dtype);
void to_float32(const std::byte* source, DType dtype, uint64_t count, float* target);

}  // namespace torchmap
