// Arithmetic of polynomials modulo that of the CRC. Reflected: the highest bit is x^0.
#pragma once

#include <cstdint>

namespace torchmap {

constexpr uint32_t kCrcPolynomial = 0xEDB88320;

constexpr uint32_t crc_times_x(uint32_t value) {
  return (value >> 1) ^ ((value & 1) != 0 ? kCrcPolynomial : 0);
}

constexpr uint32_t crc_multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (uint32_t bit = 1u << 31; bit != 0; bit >>= 1, b = crc_times_x(b)) {
    if ((a & bit) != 0) product ^= b;
  }
  return product;
}

// x^(8 * bytes): what so many bytes behind multiply a CRC by.
constexpr uint32_t crc_power_of_bytes(uint64_t bytes) {
  uint32_t power = 1u << 31, square = 1u << 23;  // x^0, x^8
  for (; bytes != 0; bytes >>= 1) {
    if ((bytes & 1) != 0) power = crc_multiply(power, square);
    square = crc_multiply(square, square);
  }
  return power;
}

}  // namespace torchmap
