// 16-bit floats to float32, by the widest instructions the processor has. Sources may be unaligned.
#pragma once

#include <cstddef>
#include <cstdint>

namespace torchmap {

void halves_to_float32(const std::byte* source, uint64_t count, float* target);
void bfloat16s_to_float32(const std::byte* source, uint64_t count, float* target);

}  // namespace torchmap
