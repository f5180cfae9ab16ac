// What a view can say of its elements without having changed them (torch's conj and neg bits).
#pragma once

#include "core/torch/dtype.h"

namespace torchmap {

// Conjugates complex elements, negates any elements, in place.
void conjugate(std::byte* bytes, DType dtype, uint64_t count);
void negate(std::byte* bytes, DType dtype, uint64_t count);

}  // namespace torchmap
