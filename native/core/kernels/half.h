// 16-bit floats as float32 and back, rounded to nearest even.
#pragma once

#include <bit>
#include <cstdint>

namespace torchmap {

// Without branches and without subnormal numbers on the way, which processors are slow at.
// NaN becomes quiet, as by the instructions of processors.
inline uint32_t half_bits_to_float(uint16_t half) {
  constexpr uint32_t kBias = 0x38000000;      // 127 - 15, in the place of the exponent
  constexpr uint32_t kSmallest = 0x38800000;  // 2^-14, the smallest normal half
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = half & 0x7C00;
  const uint32_t bits = static_cast<uint32_t>(half & 0x7FFF) << 13;
  // A subnormal has no leading one: as a normal number it is too large by just that.
  const uint32_t subnormal = std::bit_cast<uint32_t>(std::bit_cast<float>(bits + kSmallest) -
                                                     std::bit_cast<float>(kSmallest));
  // Infinity and NaN: the bias once more gives the largest exponent. Masks, because a compiler that
  // sees a choice makes a branch of it and no vector.
  const uint32_t is_infinite = 0u - static_cast<uint32_t>(exponent == 0x7C00);
  const uint32_t is_subnormal = 0u - static_cast<uint32_t>(exponent == 0);
  const uint32_t is_nan = 0u - static_cast<uint32_t>((half & 0x7FFF) > 0x7C00);
  const uint32_t normal = (bits + kBias + (is_infinite & kBias)) | (is_nan & 0x00400000);
  return sign | (subnormal & is_subnormal) | (normal & ~is_subnormal);
}
inline float half_to_float(uint16_t half) { return std::bit_cast<float>(half_bits_to_float(half)); }

inline uint16_t float_to_half(float value) {
  const uint32_t all = std::bit_cast<uint32_t>(value);
  const uint32_t sign = all >> 16 & 0x8000, bits = all & 0x7FFFFFFF;
  if (bits > 0x7F800000) return static_cast<uint16_t>(sign | 0x7E00);
  if (bits >= 0x47800000) return static_cast<uint16_t>(sign | 0x7C00);  // 2^16 and more
  if (bits < 0x38800000) {
    // Subnormal: the addition rounds at the place of the last bit, 2^-24.
    const float shifted = std::bit_cast<float>(bits) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3F000000));
  }
  // A carry moves into the exponent, and from the largest one to infinity.
  const uint32_t rounded = bits + 0xFFF + (bits >> 13 & 1);
  return static_cast<uint16_t>(sign | (rounded - 0x38000000) >> 13);
}

inline float bfloat16_to_float(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

inline uint16_t float_to_bfloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return 0x7FC0;
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

}  // namespace torchmap
