// The conversions' loops for one instruction set. All sets give the same bits; they are named here
// for convert.cc, dequantize.cc and the tests. Sources may be unaligned.
#pragma once

#include <cstddef>
#include <cstdint>

namespace torchmap {

using ConvertLoop = void (*)(const std::byte* source, uint64_t count, float* target);

// (q - zero point) * scale: with the first of `scales` and `zero_points` for all, or one for each.
using DequantizeLoop = void (*)(const std::byte* source, uint64_t count, const double* scales,
                                const double* zero_points, float* target);

struct ConvertKernels {
  ConvertLoop from_float64, from_half, from_bfloat16, from_e5m2, from_e4m3fn, from_e5m2fnuz,
      from_e4m3fnuz, from_e8m0, from_bool, from_int8, from_uint8, from_int16, from_uint16,
      from_int32, from_uint32, from_int64, from_uint64;
  DequantizeLoop run_of_int8, run_of_uint8, run_of_int32, each_of_int8, each_of_uint8,
      each_of_int32;
};

// What every processor of the architecture has: SSE2, NEON.
const ConvertKernels* convert_portable();

// x86 with AVX2 and F16C, and with AVX-512 F, BW, DQ and VL; null where the processor or the build
// has none.
const ConvertKernels* convert_avx2();
const ConvertKernels* convert_avx512();

// The last of them that is there.
const ConvertKernels& convert_kernels();

}  // namespace torchmap
