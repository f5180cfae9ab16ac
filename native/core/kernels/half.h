// 16-bit floats as float32 and back, rounded to nearest even.
#pragma once

#include <bit>
#include <cstdint>

namespace torchmap {

inline float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t bits = half & 0x7FFF;
  // Exponent and mantissa moved into place, then scaled by 2^112 to make up for the smaller bias;
  // subnormals come out right by the same multiplication, infinity and NaN are put back.
  const float value = std::bit_cast<float>(bits << 13) * 0x1p112f;
  uint32_t out = std::bit_cast<uint32_t>(value);
  if (bits >= 0x7C00) out |= 0x7F800000;
  return std::bit_cast<float>(sign | out);
}

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
