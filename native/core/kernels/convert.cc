#include "core/kernels/convert.h"

#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/bytes.h"
#include "core/kernels/convert_half.h"

namespace torchmap {
namespace {

template <typename T>
T load(const std::byte* source, uint64_t i) {
  T value;
  std::memcpy(&value, source + i * sizeof(T), sizeof(T));
  return value;
}

template <typename T>
void cast(const std::byte* source, uint64_t count, float* target) {
  for (uint64_t i = 0; i < count; ++i) target[i] = static_cast<float>(load<T>(source, i));
}

// The 256 values of an 8-bit float. `fnuz`: no infinity, no negative zero, NaN is 0x80 only.
struct Float8 {
  int exponent_bits, mantissa_bits, bias;
  bool fnuz, infinities;
};

float float8_value(const Float8& format, uint32_t bits) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const uint32_t mantissa_mask = (1u << format.mantissa_bits) - 1,
                 exponent_mask = (1u << format.exponent_bits) - 1;
  const uint32_t mantissa = bits & mantissa_mask,
                 exponent = bits >> format.mantissa_bits & exponent_mask;
  const float sign = (bits & 0x80) != 0 ? -1.0f : 1.0f;
  if (format.fnuz && bits == 0x80) return nan;
  if (!format.fnuz && format.infinities && exponent == exponent_mask) {
    return mantissa == 0 ? sign * std::numeric_limits<float>::infinity() : nan;
  }
  if (!format.fnuz && !format.infinities && (bits & 0x7F) == 0x7F) return nan;
  const float fraction = static_cast<float>(mantissa) / static_cast<float>(mantissa_mask + 1);
  const float value = exponent == 0
                          ? std::ldexp(fraction, 1 - format.bias)
                          : std::ldexp(1.0f + fraction, static_cast<int>(exponent) - format.bias);
  return sign * value;
}

void from_float8(const Float8& format, const std::byte* source, uint64_t count, float* target) {
  std::array<float, 256> table;
  for (uint32_t bits = 0; bits < 256; ++bits) table[bits] = float8_value(format, bits);
  for (uint64_t i = 0; i < count; ++i) target[i] = table[std::to_integer<uint8_t>(source[i])];
}

void from_e8m0(const std::byte* source, uint64_t count, float* target) {
  for (uint64_t i = 0; i < count; ++i) {
    const auto bits = std::to_integer<uint32_t>(source[i]);
    target[i] = bits == 0xFF ? std::numeric_limits<float>::quiet_NaN()
                             : std::ldexp(1.0f, static_cast<int>(bits) - 127);
  }
}

template <typename T, typename Change>
void change(std::byte* bytes, uint64_t first, uint64_t step, uint64_t end, Change&& apply) {
  for (uint64_t i = first; i < end; i += step) {
    T value = load<T>(bytes, i);
    value = apply(value);
    std::memcpy(bytes + i * sizeof(T), &value, sizeof(T));
  }
}

// Flips the sign bit of every `step`th unit of `unit` bytes, from `first` on.
void flip_signs(std::byte* bytes, uint32_t unit, uint64_t first, uint64_t step, uint64_t units) {
  for (uint64_t i = first; i < units; i += step) bytes[i * unit + unit - 1] ^= std::byte{0x80};
}

}  // namespace

bool converts_to_float32(DType dtype) {
  const DTypeKind kind = info(dtype).kind;
  return kind == DTypeKind::kFloat || kind == DTypeKind::kInt || kind == DTypeKind::kBool ||
         (kind == DTypeKind::kQuantized && info(dtype).bits >= 8);
}

void to_float32(const std::byte* source, DType dtype, uint64_t count, float* target) {
  switch (dtype) {
    case DType::kFloat32:
      if (count > 0) std::memcpy(target, source, count * sizeof(float));
      return;
    case DType::kFloat64:
      return cast<double>(source, count, target);
    case DType::kFloat16:
      return halves_to_float32(source, count, target);
    case DType::kBFloat16:
      return bfloat16s_to_float32(source, count, target);
    case DType::kFloat8E5M2:
      return from_float8({5, 2, 15, false, true}, source, count, target);
    case DType::kFloat8E4M3Fn:
      return from_float8({4, 3, 7, false, false}, source, count, target);
    case DType::kFloat8E5M2Fnuz:
      return from_float8({5, 2, 16, true, false}, source, count, target);
    case DType::kFloat8E4M3Fnuz:
      return from_float8({4, 3, 8, true, false}, source, count, target);
    case DType::kFloat8E8M0Fnu:
      return from_e8m0(source, count, target);
    case DType::kBool:
      for (uint64_t i = 0; i < count; ++i) target[i] = source[i] != std::byte{0} ? 1.0f : 0.0f;
      return;
    case DType::kInt8:
    case DType::kQInt8:
      return cast<int8_t>(source, count, target);
    case DType::kUInt8:
    case DType::kQUInt8:
      return cast<uint8_t>(source, count, target);
    case DType::kInt16:
      return cast<int16_t>(source, count, target);
    case DType::kUInt16:
      return cast<uint16_t>(source, count, target);
    case DType::kInt32:
    case DType::kQInt32:
      return cast<int32_t>(source, count, target);
    case DType::kUInt32:
      return cast<uint32_t>(source, count, target);
    case DType::kInt64:
      return cast<int64_t>(source, count, target);
    case DType::kUInt64:
      return cast<uint64_t>(source, count, target);
    default:
      return;
  }
}

void conjugate(std::byte* bytes, DType dtype, uint64_t count) {
  if (info(dtype).kind != DTypeKind::kComplex) return;
  flip_signs(bytes, info(dtype).swap, 1, 2, 2 * count);
}

void negate(std::byte* bytes, DType dtype, uint64_t count) {
  const DTypeInfo& row = info(dtype);
  if (dtype == DType::kFloat8E8M0Fnu) return;  // unsigned
  if (dtype == DType::kFloat8E4M3Fnuz || dtype == DType::kFloat8E5M2Fnuz) {
    // One zero and one NaN, which differ in the sign bit only and have no negatives.
    for (uint64_t i = 0; i < count; ++i) {
      if ((bytes[i] & std::byte{0x7F}) != std::byte{0}) bytes[i] ^= std::byte{0x80};
    }
    return;
  }
  if (row.kind == DTypeKind::kComplex || row.kind == DTypeKind::kFloat) {
    return flip_signs(bytes, row.swap, 0, 1, count * row.bytes / row.swap);
  }
  if (row.kind != DTypeKind::kInt) return;
  const auto minus = [](auto value) {
    return static_cast<decltype(value)>(decltype(value)(0) - value);
  };
  switch (row.bytes) {
    case 1:
      return change<uint8_t>(bytes, 0, 1, count, minus);
    case 2:
      return change<uint16_t>(bytes, 0, 1, count, minus);
    case 4:
      return change<uint32_t>(bytes, 0, 1, count, minus);
    default:
      return change<uint64_t>(bytes, 0, 1, count, minus);
  }
}

void dequantize(const std::byte* source, DType dtype, ChannelShape shape, const double* scales,
                const double* zero_points, float* target) {
  const uint32_t bits = info(dtype).bits;
  const auto element = [&](uint64_t i) -> int64_t {
    switch (dtype) {
      case DType::kQInt8:
        return load<int8_t>(source, i);
      case DType::kQInt32:
        return load<int32_t>(source, i);
      case DType::kQUInt8:
        return load<uint8_t>(source, i);
      default: {
        const uint64_t per_byte = 8 / bits;
        const auto byte = std::to_integer<uint32_t>(source[i / per_byte]);
        return byte >> (i % per_byte * bits) & ((1u << bits) - 1);
      }
    }
  };
  uint64_t i = 0;
  for (uint64_t outer = 0; outer < shape.outer; ++outer) {
    for (uint64_t channel = 0; channel < shape.channels; ++channel) {
      const double scale = scales[channel];
      const double zero = zero_points[channel];
      for (uint64_t inner = 0; inner < shape.inner; ++inner, ++i) {
        // As torch rounds: the difference to float32, then the product.
        const auto difference = static_cast<float>(static_cast<double>(element(i)) - zero);
        target[i] = static_cast<float>(static_cast<double>(difference) * scale);
      }
    }
  }
}

}  // namespace torchmap
