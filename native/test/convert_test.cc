// Element conversions; the expected numbers are torch's.
#include "core/kernels/convert.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "check.h"
#include "core/kernels/dequantize.h"
#include "core/kernels/negate.h"

using namespace torchmap;
using namespace torchmap::check;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

template <typename T>
std::vector<float> floats(DType dtype, const std::vector<T>& elements) {
  // Behind one byte, so that sources are unaligned.
  std::vector<std::byte> bytes(1 + elements.size() * sizeof(T));
  if (!elements.empty()) std::memcpy(bytes.data() + 1, elements.data(), bytes.size() - 1);
  std::vector<float> out(elements.size());
  to_float32(bytes.data() + 1, dtype, elements.size(), out.data());
  return out;
}

float float8(DType dtype, uint8_t bits) { return floats<uint8_t>(dtype, {bits})[0]; }
float half(uint16_t bits) { return floats<uint16_t>(DType::kFloat16, {bits})[0]; }

template <typename T>
std::vector<T> negated(DType dtype, std::vector<T> elements) {
  negate(reinterpret_cast<std::byte*>(elements.data()), dtype,
         elements.size() * sizeof(T) / info(dtype).bytes);
  return elements;
}

}  // namespace

TEST(convert_none_of_nothing) {
  for (size_t i = 0; i < static_cast<size_t>(DType::kCount); ++i) {
    const auto dtype = static_cast<DType>(i);
    if (converts_to_float32(dtype)) EXPECT_TRUE(floats<uint8_t>(dtype, {}).empty());
  }
}

TEST(convert_which) {
  for (const char* name : {"complex64", "complex128", "complex32", "quint4x2", "quint2x4", "bits8",
                           "bits16", "float4_e2m1fn_x2"}) {
    EXPECT_FALSE(converts_to_float32(dtype_by_name(name).value()));
  }
  for (const char* name : {"float16", "bool", "uint64", "qint32", "float8_e8m0fnu"})
    EXPECT_TRUE(converts_to_float32(dtype_by_name(name).value()));
}

TEST(convert_integers) {
  EXPECT_TRUE(floats<int8_t>(DType::kInt8, {-128, 127}) == std::vector<float>({-128, 127}));
  EXPECT_TRUE(floats<uint8_t>(DType::kUInt8, {0, 255}) == std::vector<float>({0, 255}));
  EXPECT_TRUE(floats<int16_t>(DType::kInt16, {-32768, 1}) == std::vector<float>({-32768, 1}));
  EXPECT_TRUE(floats<uint16_t>(DType::kUInt16, {65535}) == std::vector<float>({65535}));
  EXPECT_TRUE(floats<int32_t>(DType::kInt32, {INT32_MIN, 7}) ==
              std::vector<float>({-2147483648.0f, 7}));
  EXPECT_TRUE(floats<uint32_t>(DType::kUInt32, {UINT32_MAX}) ==
              std::vector<float>({4294967296.0f}));
  EXPECT_TRUE(floats<int64_t>(DType::kInt64, {INT64_MIN}) == std::vector<float>({-0x1p63f}));
  EXPECT_TRUE(floats<uint64_t>(DType::kUInt64, {UINT64_MAX}) == std::vector<float>({0x1p64f}));
  EXPECT_TRUE(floats<int32_t>(DType::kQInt32, {-5}) == std::vector<float>({-5}));
  EXPECT_TRUE(floats<uint8_t>(DType::kBool, {0, 1, 2, 255}) == std::vector<float>({0, 1, 1, 1}));
}

TEST(convert_wide_floats) {
  EXPECT_TRUE(floats<float>(DType::kFloat32, {1.5f, -kInf}) == std::vector<float>({1.5f, -kInf}));
  EXPECT_TRUE(floats<double>(DType::kFloat64, {1.5, 1e300, 1e-300}) ==
              std::vector<float>({1.5f, kInf, 0}));
  EXPECT_TRUE(std::isnan(floats<double>(DType::kFloat64, {NAN})[0]));
}

TEST(convert_half) {
  EXPECT_EQ(half(0x3C00), 1.0f);
  EXPECT_EQ(half(0xC000), -2.0f);
  EXPECT_EQ(half(0x7BFF), 65504.0f);
  EXPECT_EQ(half(0x0400), 0x1p-14f);
  EXPECT_EQ(half(0x0001), 0x1p-24f);  // subnormal
  EXPECT_EQ(half(0x83FF), -0x1.FF8p-15f);
  EXPECT_EQ(half(0x7C00), kInf);
  EXPECT_EQ(half(0xFC00), -kInf);
  EXPECT_TRUE(std::isnan(half(0x7C01)) && std::isnan(half(0xFFFF)));
  EXPECT_TRUE(half(0x8000) == 0 && std::signbit(half(0x8000)));
}

TEST(convert_bfloat16) {
  EXPECT_TRUE(floats<uint16_t>(DType::kBFloat16, {0x3F80, 0xC040, 0x7F80, 0x0001}) ==
              std::vector<float>({1.0f, -3.0f, kInf, 0x1p-133f}));
  EXPECT_TRUE(std::isnan(floats<uint16_t>(DType::kBFloat16, {0x7FC0})[0]));
}

TEST(convert_float8) {
  EXPECT_EQ(float8(DType::kFloat8E5M2, 0x3C), 1.0f);
  EXPECT_EQ(float8(DType::kFloat8E5M2, 0x7B), 57344.0f);
  EXPECT_EQ(float8(DType::kFloat8E5M2, 0x7C), kInf);
  EXPECT_EQ(float8(DType::kFloat8E5M2, 0x01), 0x1p-16f);
  EXPECT_TRUE(std::isnan(float8(DType::kFloat8E5M2, 0x7D)));
  EXPECT_EQ(float8(DType::kFloat8E4M3Fn, 0x38), 1.0f);
  EXPECT_EQ(float8(DType::kFloat8E4M3Fn, 0x7E), 448.0f);
  EXPECT_EQ(float8(DType::kFloat8E4M3Fn, 0x81), -0x1p-9f);
  EXPECT_TRUE(std::isnan(float8(DType::kFloat8E4M3Fn, 0xFF)));
  EXPECT_EQ(float8(DType::kFloat8E5M2Fnuz, 0x40), 1.0f);
  EXPECT_EQ(float8(DType::kFloat8E5M2Fnuz, 0x7F), 57344.0f);
  EXPECT_TRUE(std::isnan(float8(DType::kFloat8E5M2Fnuz, 0x80)));
  EXPECT_EQ(float8(DType::kFloat8E4M3Fnuz, 0x40), 1.0f);
  EXPECT_EQ(float8(DType::kFloat8E4M3Fnuz, 0x7F), 240.0f);
  EXPECT_TRUE(std::isnan(float8(DType::kFloat8E4M3Fnuz, 0x80)));
  EXPECT_EQ(float8(DType::kFloat8E8M0Fnu, 127), 1.0f);
  EXPECT_EQ(float8(DType::kFloat8E8M0Fnu, 0), 0x1p-127f);
  EXPECT_EQ(float8(DType::kFloat8E8M0Fnu, 254), 0x1p127f);
  EXPECT_TRUE(std::isnan(float8(DType::kFloat8E8M0Fnu, 255)));
}

TEST(negate_every_kind) {
  EXPECT_TRUE(negated<float>(DType::kFloat32, {1, -2, 0}) == std::vector<float>({-1, 2, -0.0f}));
  EXPECT_TRUE(negated<uint16_t>(DType::kFloat16, {0x3C00}) == std::vector<uint16_t>({0xBC00}));
  EXPECT_TRUE(negated<double>(DType::kComplex128, {1, -2}) == std::vector<double>({-1, 2}));
  EXPECT_TRUE(negated<int8_t>(DType::kInt8, {-128, 1}) == std::vector<int8_t>({-128, -1}));
  EXPECT_TRUE(negated<int64_t>(DType::kInt64, {INT64_MIN, 5}) ==
              std::vector<int64_t>({INT64_MIN, -5}));
  EXPECT_TRUE(negated<uint32_t>(DType::kUInt32, {1}) == std::vector<uint32_t>({UINT32_MAX}));
  EXPECT_TRUE(negated<uint8_t>(DType::kBool, {1}) == std::vector<uint8_t>({1}));
}

TEST(negate_floats_without_a_negative_zero) {
  // 0x80 is NaN there, and e8m0 has no sign at all.
  EXPECT_TRUE(negated<uint8_t>(DType::kFloat8E4M3Fnuz, {0, 1}) == std::vector<uint8_t>({0, 0x81}));
  EXPECT_TRUE(negated<uint8_t>(DType::kFloat8E5M2Fnuz, {0}) == std::vector<uint8_t>({0}));
  EXPECT_TRUE(negated<uint8_t>(DType::kFloat8E8M0Fnu, {127}) == std::vector<uint8_t>({127}));
}

TEST(conjugate_only_complex) {
  std::vector<float> values = {1, 2, -3, -4};
  conjugate(reinterpret_cast<std::byte*>(values.data()), DType::kComplex64, 2);
  EXPECT_TRUE(values == std::vector<float>({1, -2, -3, 4}));
  conjugate(reinterpret_cast<std::byte*>(values.data()), DType::kFloat32, 4);
  EXPECT_TRUE(values == std::vector<float>({1, -2, -3, 4}));
  std::vector<uint16_t> halves = {0x3C00, 0x3C00};
  conjugate(reinterpret_cast<std::byte*>(halves.data()), DType::kComplex32, 1);
  EXPECT_TRUE(halves == std::vector<uint16_t>({0x3C00, 0xBC00}));
}

TEST(dequantize_per_tensor) {
  const uint8_t stored[] = {0, 128, 255};
  const double scale = 0.5, zero = 128;
  float out[3];
  dequantize(reinterpret_cast<const std::byte*>(stored), DType::kQUInt8, {1, 1, 3}, &scale, &zero,
             out);
  EXPECT_EQ(out[0], -64.0f);
  EXPECT_EQ(out[1], 0.0f);
  EXPECT_EQ(out[2], 63.5f);
}

TEST(dequantize_per_channel) {
  // Two channels in the middle of shape (2, 2, 1).
  const int8_t stored[] = {1, 1, 3, 3};
  const double scales[] = {1, 10}, zeros[] = {0, 1};
  float out[4];
  dequantize(reinterpret_cast<const std::byte*>(stored), DType::kQInt8, {2, 2, 1}, scales, zeros,
             out);
  EXPECT_EQ(out[0], 1.0f);
  EXPECT_EQ(out[1], 0.0f);
  EXPECT_EQ(out[2], 3.0f);
  EXPECT_EQ(out[3], 20.0f);
}

TEST(dequantize_packed) {
  const double scale = 1, zero = 0;
  const uint8_t fours[] = {0x21, 0x43}, twos[] = {0b11'10'01'00, 0b01};
  float out[5];
  dequantize(reinterpret_cast<const std::byte*>(fours), DType::kQUInt4x2, {1, 1, 3}, &scale, &zero,
             out);
  EXPECT_TRUE(out[0] == 1 && out[1] == 2 && out[2] == 3);
  dequantize(reinterpret_cast<const std::byte*>(twos), DType::kQUInt2x4, {1, 1, 5}, &scale, &zero,
             out);
  EXPECT_TRUE(out[0] == 0 && out[1] == 1 && out[2] == 2 && out[3] == 3 && out[4] == 1);
}
