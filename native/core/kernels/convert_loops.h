// The loops of the conversions. They are plain: compilers make vectors of them, wider ones where
// TORCHMAP_TARGET allows it. Included once by each file that has a TORCHMAP_TARGET for it.
//
// NaN has the bits torch gives it: those of 16-bit floats become quiet, as by the processor's
// instruction (c10/util/Half.h), those of 8-bit floats are the constants of
// c10/util/Float8_e4m3fn.h, Float8_fnuz_cvt.h and Float8_e8m0fnu.h (v2.13).
#pragma once

#ifndef TORCHMAP_TARGET
#error "TORCHMAP_TARGET says which instructions may be used"
#endif

#include <bit>
#include <cstring>

#include "core/kernels/convert_kernels.h"
#include "core/kernels/half.h"

namespace torchmap {
namespace {

template <typename T>
TORCHMAP_TARGET inline T load(const std::byte* source, uint64_t i) {
  T value;
  std::memcpy(&value, source + i * sizeof(T), sizeof(T));
  return value;
}

TORCHMAP_TARGET inline void store(float* target, uint64_t i, uint32_t bits) {
  std::memcpy(target + i, &bits, sizeof bits);
}

template <typename T>
TORCHMAP_TARGET void cast(const std::byte* source, uint64_t count, float* target) {
  for (uint64_t i = 0; i < count; ++i) target[i] = static_cast<float>(load<T>(source, i));
}

TORCHMAP_TARGET void from_bool(const std::byte* source, uint64_t count, float* target) {
  for (uint64_t i = 0; i < count; ++i) target[i] = source[i] != std::byte{0} ? 1.0f : 0.0f;
}

TORCHMAP_TARGET void from_half(const std::byte* source, uint64_t count, float* target) {
  uint64_t i = 0;
#ifdef TORCHMAP_F16C
  for (; i + 8 <= count; i += 8) {
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(source + 2 * i));
    _mm256_storeu_ps(target + i, _mm256_cvtph_ps(halves));
  }
#endif
  for (; i < count; ++i) store(target, i, half_bits_to_float(load<uint16_t>(source, i)));
}

TORCHMAP_TARGET void from_bfloat16(const std::byte* source, uint64_t count, float* target) {
  for (uint64_t i = 0; i < count; ++i) store(target, i, uint32_t{load<uint16_t>(source, i)} << 16);
}

// The upper half of a float16.
TORCHMAP_TARGET void from_e5m2(const std::byte* source, uint64_t count, float* target) {
  for (uint64_t i = 0; i < count; ++i) {
    const auto half = static_cast<uint16_t>(load<uint8_t>(source, i) << 8);
    store(target, i, half_bits_to_float(half));
  }
}

// 8-bit floats whose largest exponent is that of numbers, without infinity. NaN is all ones behind
// the sign, or with `kFnuz` what would be a negative zero.
template <int kMantissa, int kBias, bool kFnuz>
TORCHMAP_TARGET void from_float8(const std::byte* source, uint64_t count, float* target) {
  constexpr uint32_t kExponent = uint32_t{127 - kBias} << 23, kSmallest = kExponent + (1u << 23);
  for (uint64_t i = 0; i < count; ++i) {
    const uint32_t all = load<uint8_t>(source, i), sign = (all & 0x80) << 24;
    const uint32_t bits = (all & 0x7F) << (23 - kMantissa);
    // As in half.h: a subnormal has no leading one.
    const uint32_t subnormal = std::bit_cast<uint32_t>(std::bit_cast<float>(bits + kSmallest) -
                                                       std::bit_cast<float>(kSmallest));
    const uint32_t is_subnormal = 0u - static_cast<uint32_t>(bits < (1u << 23));
    const uint32_t value = sign | (subnormal & is_subnormal) | ((bits + kExponent) & ~is_subnormal);
    const uint32_t is_nan = 0u - static_cast<uint32_t>(kFnuz ? all == 0x80 : (all & 0x7F) == 0x7F);
    const uint32_t nan = kFnuz ? 0x7F800001 : sign | 0x7F800000 | bits;
    store(target, i, (value & ~is_nan) | (nan & is_nan));
  }
}

TORCHMAP_TARGET void from_e8m0(const std::byte* source, uint64_t count, float* target) {
  for (uint64_t i = 0; i < count; ++i) {
    const uint32_t exponent = load<uint8_t>(source, i);
    const uint32_t is_smallest = 0u - static_cast<uint32_t>(exponent == 0);
    const uint32_t is_nan = static_cast<uint32_t>(exponent == 0xFF);
    store(target, i, (exponent << 23) | (is_smallest & 0x00400000) | is_nan);
  }
}

// As torch rounds: the difference to float32, then the product.
TORCHMAP_TARGET inline float dequantized(double element, double zero, double scale) {
  const auto difference = static_cast<float>(element - zero);
  return static_cast<float>(static_cast<double>(difference) * scale);
}

template <typename T>
TORCHMAP_TARGET void dequantize_run(const std::byte* source, uint64_t count, const double* scales,
                                    const double* zero_points, float* target) {
  const double scale = *scales, zero = *zero_points;
  for (uint64_t i = 0; i < count; ++i)
    target[i] = dequantized(static_cast<double>(load<T>(source, i)), zero, scale);
}

template <typename T>
TORCHMAP_TARGET void dequantize_each(const std::byte* source, uint64_t count, const double* scales,
                                     const double* zero_points, float* target) {
  for (uint64_t i = 0; i < count; ++i)
    target[i] = dequantized(static_cast<double>(load<T>(source, i)), zero_points[i], scales[i]);
}

constexpr ConvertKernels kLoops = {
    .from_float64 = cast<double>,
    .from_half = from_half,
    .from_bfloat16 = from_bfloat16,
    .from_e5m2 = from_e5m2,
    .from_e4m3fn = from_float8<3, 7, false>,
    .from_e5m2fnuz = from_float8<2, 16, true>,
    .from_e4m3fnuz = from_float8<3, 8, true>,
    .from_e8m0 = from_e8m0,
    .from_bool = from_bool,
    .from_int8 = cast<int8_t>,
    .from_uint8 = cast<uint8_t>,
    .from_int16 = cast<int16_t>,
    .from_uint16 = cast<uint16_t>,
    .from_int32 = cast<int32_t>,
    .from_uint32 = cast<uint32_t>,
    .from_int64 = cast<int64_t>,
    .from_uint64 = cast<uint64_t>,
    .run_of_int8 = dequantize_run<int8_t>,
    .run_of_uint8 = dequantize_run<uint8_t>,
    .run_of_int32 = dequantize_run<int32_t>,
    .each_of_int8 = dequantize_each<int8_t>,
    .each_of_uint8 = dequantize_each<uint8_t>,
    .each_of_int32 = dequantize_each<int32_t>,
};

}  // namespace
}  // namespace torchmap
