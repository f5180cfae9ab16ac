// Weight norm, spectral norm and masks; expected bits are torch's (2.13 where nothing else is
// said).
#include "core/kernels/reparametrize.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "check.h"
#include "core/kernels/half.h"

using namespace torchmap;
using namespace torchmap::check;

namespace {

constexpr NormRounding kPlain{1, false};

template <typename T>
const std::byte* bytes(const std::vector<T>& values) {
  return reinterpret_cast<const std::byte*>(values.data());
}
template <typename T>
std::byte* bytes(std::vector<T>& values) {
  return reinterpret_cast<std::byte*>(values.data());
}

template <typename T>
std::vector<T> normed(DType dtype, const std::vector<T>& g, const std::vector<T>& v,
                      const std::vector<int64_t>& sizes, std::optional<size_t> dim,
                      const NormRounding& rounding = kPlain) {
  // Behind one byte, so that sources are unaligned.
  std::vector<std::byte> source(1 + v.size() * sizeof(T));
  if (!v.empty()) std::memcpy(source.data() + 1, v.data(), v.size() * sizeof(T));
  std::vector<T> out(v.size());
  weight_norm(dtype, bytes(g), source.data() + 1, sizes, dim, rounding, bytes(out));
  return out;
}

std::vector<float> floats(const std::vector<float>& g, const std::vector<float>& v,
                          const std::vector<int64_t>& sizes, std::optional<size_t> dim,
                          const NormRounding& rounding = kPlain) {
  return normed(DType::kFloat32, g, v, sizes, dim, rounding);
}

// Elements whose squares do not add up exactly, the same in torch:
// (torch.arange(n) * 37 % 101 + 1).float() / 7
std::vector<float> uneven(size_t count) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i * 37 % 101 + 1) / 7.0f;
  return values;
}

uint32_t bits(float value) { return std::bit_cast<uint32_t>(value); }

}  // namespace

TEST(reparametrize_which) {
  for (const char* name : {"float16", "bfloat16", "float32", "float64"})
    EXPECT_TRUE(reparametrizes(dtype_by_name(name).value()));
  for (const char* name : {"int32", "bool", "complex64", "float8_e5m2", "qint8", "quint4x2"})
    EXPECT_FALSE(reparametrizes(dtype_by_name(name).value()));
}

TEST(weight_norm_of_the_first_dimension) {
  EXPECT_TRUE(floats({10, 2}, {3, 4, 0, -5}, {2, 2}, 0) == std::vector<float>({6, 8, 0, -2}));
}

TEST(weight_norm_of_the_last_dimension) {
  EXPECT_TRUE(floats({10, 2}, {3, 0, 4, -5}, {2, 2}, 1) == std::vector<float>({6, 0, 8, -2}));
}

TEST(weight_norm_of_a_dimension_between) {
  // Shape (2, 2, 2): channel 0 is 1, 0, 2, 2 and channel 1 is 0, 0, 0, 4.
  const std::vector<float> v = {1, 0, 0, 0, 2, 2, 0, 4};
  EXPECT_TRUE(floats({3, 8}, v, {2, 2, 2}, 1) == std::vector<float>({1, 0, 0, 0, 2, 2, 0, 8}));
}

TEST(weight_norm_of_everything) {
  EXPECT_TRUE(floats({10}, {1, 1, 1, 1}, {2, 2}, {}) == std::vector<float>({5, 5, 5, 5}));
  EXPECT_TRUE(floats({10}, {-3}, {}, {}) == std::vector<float>({-10}));
}

TEST(weight_norm_of_a_vector) {
  EXPECT_TRUE(floats({5, 7}, {-3, 2}, {2}, 0) == std::vector<float>({-5, 7}));
}

TEST(weight_norm_of_zero_is_nan) {
  const std::vector<float> out = floats({1, 1}, {0, 0, 1, 0}, {2, 2}, 0);
  EXPECT_TRUE(std::isnan(out[0]) && std::isnan(out[1]));
  EXPECT_TRUE(out[2] == 1 && out[3] == 0);
  EXPECT_TRUE(std::isnan(floats({1, 1}, {0, 0}, {1, 2}, 1)[0]));
  EXPECT_TRUE(std::isnan(floats({1}, {0, 0}, {2}, {})[0]));
}

TEST(weight_norm_of_nothing) {
  EXPECT_TRUE(floats({1, 1}, {}, {2, 0}, 0).empty());
  EXPECT_TRUE(floats({}, {}, {2, 0}, 1).empty());
  EXPECT_TRUE(floats({1}, {}, {0}, {}).empty());
}

TEST(weight_norm_overflows_as_float32) {
  EXPECT_EQ(floats({1}, {0x1p100f}, {1, 1}, 0)[0], 0.0f);
  EXPECT_EQ(normed<double>(DType::kFloat64, {1}, {0x1p100}, {1, 1}, 0)[0], 1.0);
}

TEST(weight_norm_of_the_first_dimension_adds_as_torch) {
  struct {
    size_t count;
    uint32_t first, last;
  } const rows[] = {{5, 0x3C2823FC, 0x3EFC35F9},    {7, 0x3BFA232E, 0x3E242716},
                    {13, 0x3BAABDA5, 0x3E5AC2FB},   {39, 0x3B30DC6A, 0x3E81E1DD},
                    {2049, 0x39C53E6F, 0x3C266CAE}, {5000, 0x397C6FFD, 0x3C0229BE}};
  for (const auto& row : rows) {
    const auto count = static_cast<int64_t>(row.count);
    const std::vector<float> out = floats({1}, uneven(row.count), {1, count}, 0);
    EXPECT_EQ(bits(out.front()), row.first);
    EXPECT_EQ(bits(out.back()), row.last);
  }
}

TEST(weight_norm_of_everything_adds_as_torch) {
  struct {
    size_t count;
    bool fused;
    uint32_t first, last;
  } const rows[] = {
      {5, false, 0x3C2823FB, 0x3EFC35F8},    {7, false, 0x3BFA232C, 0x3E242714},
      {13, false, 0x3BAABDA5, 0x3E5AC2FB},   {39, false, 0x3B30DC6A, 0x3E81E1DD},
      {2049, false, 0x39C53E6F, 0x3C266CAE}, {5000, false, 0x397C6FFD, 0x3C0229BE},
      {5000, true, 0x397C6FFB, 0x3C0229BD},  // 1.13
  };
  for (const auto& row : rows) {
    const std::vector<float> out =
        floats({1}, uneven(row.count), {static_cast<int64_t>(row.count)}, {}, {1, row.fused});
    EXPECT_EQ(bits(out.front()), row.first);
    EXPECT_EQ(bits(out.back()), row.last);
  }
}

TEST(weight_norm_of_the_last_dimension_adds_as_so_many_threads) {
  struct {
    uint64_t threads;
    uint32_t first, last;
  } const rows[] = {{1, 0x39A2E634, 0x3CAA9E26},
                    {2, 0x39A2E633, 0x3CAA9E23},
                    {3, 0x39A2E634, 0x3CAA9E26},
                    {8, 0x39A2E634, 0x3CAA9E25}};
  for (const auto& row : rows) {
    const std::vector<float> out = floats({1, 1}, uneven(6000), {3000, 2}, 1, {row.threads, false});
    EXPECT_EQ(bits(out.front()), row.first);
    EXPECT_EQ(bits(out.back()), row.last);
  }
  // More threads than rows, and none.
  const std::vector<float> one = floats({1, 1}, uneven(4), {2, 2}, 1);
  EXPECT_TRUE(floats({1, 1}, uneven(4), {2, 2}, 1, {0, false}) == one);
  EXPECT_TRUE(floats({1, 1}, uneven(4), {2, 2}, 1, {UINT64_MAX, false}) == one);
}

TEST(weight_norm_between_adds_with_the_dimensions_exchanged) {
  const std::vector<float> one = floats({1, 1, 1}, uneven(6000), {20, 3, 100}, 1);
  EXPECT_EQ(bits(one.front()), 0x39C78EA5);
  EXPECT_EQ(bits(one.back()), 0x3CD0CE92);
  const std::vector<float> two =
      floats(std::vector<float>(50, 1.0f), uneven(6000), {20, 3, 50, 2}, 2);
  EXPECT_EQ(bits(two.front()), 0x3ACC5156);
  EXPECT_EQ(bits(two.back()), 0x3DD5AEEF);
}

TEST(weight_norm_of_16_bits) {
  std::vector<uint16_t> half(3000), brain(3000);
  for (size_t i = 0; i < 3000; ++i) {
    half[i] = float_to_half(uneven(3000)[i]);
    brain[i] = float_to_bfloat16(uneven(3000)[i]);
  }
  EXPECT_TRUE(half[0] == 0x3092 && half[1] == 0x456E && half.back() == 0x48B7);
  EXPECT_TRUE(brain[0] == 0x3E12 && brain[1] == 0x40AE && brain.back() == 0x4117);
  half = normed<uint16_t>(DType::kFloat16, {0x4200}, half, {1, 3000}, 0);
  EXPECT_TRUE(half[0] == 0x13A3 && half[1] == 0x2889 && half.back() == 0x2BE0);
  brain = normed<uint16_t>(DType::kBFloat16, {0x4040}, brain, {1, 3000}, 0);
  EXPECT_TRUE(brain[0] == 0x3A74 && brain[1] == 0x3D11 && brain.back() == 0x3D7C);
}

TEST(weight_norm_of_doubles) {
  std::vector<double> values;
  for (const float value : uneven(3000)) values.push_back(static_cast<double>(value));
  const std::vector<double> out = normed<double>(DType::kFloat64, {1}, values, {1, 3000}, 0);
  EXPECT_EQ(out[0], 0x1.45da75745d8e8p-12);
}

TEST(spectral_norm_of_a_matrix) {
  // u . (W v) is 1 * (2 * 0.5 + 4 * 0.25) = 2.
  const std::vector<float> weight = {2, 4, 6, 8}, u = {1, 0}, v = {0.5, 0.25};
  const std::vector<int64_t> sizes = {2, 2};
  std::vector<float> out(4);
  spectral_norm(DType::kFloat32, bytes(weight), sizes, 0, {}, bytes(u), bytes(v), bytes(out));
  EXPECT_TRUE(out == std::vector<float>({1, 2, 3, 4}));
}

TEST(spectral_norm_of_a_transposed_convolution) {
  // Shape (2, 3, 1): W has the rows 1 4, 2 5, 3 6; u . (W v) = 1 * 2 * (2 + 10).
  const std::vector<float> weight = {1, 2, 3, 4, 5, 6}, u = {0, 2, 0}, v = {1, 2};
  const std::vector<int64_t> sizes = {2, 3, 1};
  std::vector<float> out(6);
  spectral_norm(DType::kFloat32, bytes(weight), sizes, 1, {}, bytes(u), bytes(v), bytes(out));
  EXPECT_EQ(out[0], 1.0f / 24.0f);
  EXPECT_EQ(out[5], 0.25f);
}

TEST(spectral_norm_takes_the_dimension_that_was_iterated) {
  // Shape (2, 2, 1), W = [[1, 2], [3, 4]] or its transpose. v = (1, 0): W v is (1, 3) or (1, 2).
  const std::vector<float> weight = {1, 2, 3, 4}, v = {1, 0};
  const std::vector<int64_t> sizes = {2, 2, 1};
  const auto divisor = [&](const std::vector<float>& u) {
    std::vector<float> out(4);
    spectral_norm(DType::kFloat32, bytes(weight), sizes, 0, 1, bytes(u), bytes(v), bytes(out));
    return 1.0f / out[0];
  };
  EXPECT_EQ(divisor({1, 3}), 10.0f);  // the first, exactly
  EXPECT_EQ(divisor({1, 2}), 5.0f);   // the second, exactly
  EXPECT_EQ(divisor({3, -1}), 0.0f);  // neither: the first
  EXPECT_EQ(divisor({0, 0}), 0.0f);
}

TEST(spectral_norm_of_16_bits) {
  const std::vector<uint16_t> weight = {0x4000, 0x4200}, u = {0x3C00}, v = {0x3C00, 0x3C00};
  const std::vector<int64_t> sizes = {1, 2};
  std::vector<uint16_t> out(2);
  spectral_norm(DType::kFloat16, bytes(weight), sizes, 0, {}, bytes(u), bytes(v), bytes(out));
  EXPECT_TRUE(out == std::vector<uint16_t>({0x3666, 0x38CD}));  // 0.4, 0.6
}

TEST(unit_norm_of_a_vector) {
  const std::vector<float> weight = {3, -4, 0};
  std::vector<float> out(3);
  unit_norm(DType::kFloat32, bytes(weight), 3, false, bytes(out));
  EXPECT_TRUE(out == std::vector<float>({0.6f, -0.8f, 0}));
  unit_norm(DType::kFloat32, bytes(std::vector<float>{0, 0, 0}), 3, false, bytes(out));
  EXPECT_TRUE(out == std::vector<float>({0, 0, 0}));
  unit_norm(DType::kFloat32, bytes(std::vector<float>{NAN, 1, 1}), 3, false, bytes(out));
  EXPECT_TRUE(std::isnan(out[0]) && std::isnan(out[1]));
}

TEST(mask_of_the_same_dtype) {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> weight = {1.5f, -2, infinity}, mask = {1, 0, 0};
  std::vector<float> out(3);
  apply_mask(DType::kFloat32, bytes(weight), DType::kFloat32, bytes(mask), 3, bytes(out));
  EXPECT_TRUE(out[0] == 1.5f && out[1] == 0 && std::signbit(out[1]) && std::isnan(out[2]));
}

TEST(mask_of_another_dtype) {
  // More elements than are converted at a time.
  std::vector<double> weight(1500, 0.1), out(1500);
  std::vector<uint8_t> mask(1500, 1);
  mask[0] = mask[1499] = 0;
  apply_mask(DType::kFloat64, bytes(weight), DType::kBool, bytes(mask), 1500, bytes(out));
  EXPECT_TRUE(out[0] == 0 && out[1] == 0.1 && out[1024] == 0.1 && out[1498] == 0.1);
  EXPECT_TRUE(out[1499] == 0);
  const std::vector<uint16_t> half = {0x3C00};
  std::vector<uint16_t> product(1);
  apply_mask(DType::kFloat16, bytes(half), DType::kFloat32, bytes(std::vector<float>{0.1f}), 1,
             bytes(product));
  EXPECT_EQ(product[0], 0x2E66);
}

TEST(half_rounds_to_nearest_even) {
  EXPECT_EQ(float_to_half(1.0f), 0x3C00);
  EXPECT_EQ(float_to_half(-0.0f), 0x8000);
  EXPECT_EQ(float_to_half(0x1.002p0f), 0x3C00);     // halfway, even below
  EXPECT_EQ(float_to_half(0x1.006p0f), 0x3C02);     // halfway, even above
  EXPECT_EQ(float_to_half(0x1.002002p0f), 0x3C01);  // above halfway
  EXPECT_EQ(float_to_half(65504.0f), 0x7BFF);
  EXPECT_EQ(float_to_half(65519.996f), 0x7BFF);
  EXPECT_EQ(float_to_half(65520.0f), 0x7C00);  // halfway to what would be 2^16
  EXPECT_EQ(float_to_half(1e30f), 0x7C00);
  EXPECT_EQ(float_to_half(-std::numeric_limits<float>::infinity()), 0xFC00);
  EXPECT_EQ(float_to_half(NAN) & 0x7E00, 0x7E00);
  EXPECT_EQ(float_to_half(0x1p-14f), 0x0400);      // the smallest normal one
  EXPECT_EQ(float_to_half(0x1.FF8p-15f), 0x03FF);  // the largest subnormal one
  EXPECT_EQ(float_to_half(0x1.FFCp-15f), 0x0400);  // halfway between the two
  EXPECT_EQ(float_to_half(0x1p-24f), 0x0001);
  EXPECT_EQ(float_to_half(0x1p-25f), 0x0000);  // halfway to 0, which is even
  EXPECT_EQ(float_to_half(0x1.8p-24f), 0x0002);
}

TEST(half_there_and_back) {
  for (uint32_t half = 0; half < 0x10000; ++half) {
    const auto value = static_cast<uint16_t>(half);
    if (std::isnan(half_to_float(value))) {
      EXPECT_TRUE(std::isnan(half_to_float(float_to_half(half_to_float(value)))));
    } else {
      EXPECT_EQ(float_to_half(half_to_float(value)), value);
    }
  }
}

TEST(bfloat16_rounds_to_nearest_even) {
  EXPECT_EQ(float_to_bfloat16(0x1.01p0f), 0x3F80);
  EXPECT_EQ(float_to_bfloat16(0x1.03p0f), 0x3F82);
  EXPECT_EQ(float_to_bfloat16(0x1.010002p0f), 0x3F81);
  EXPECT_EQ(float_to_bfloat16(std::numeric_limits<float>::max()), 0x7F80);
  EXPECT_EQ(float_to_bfloat16(-std::numeric_limits<float>::infinity()), 0xFF80);
  EXPECT_EQ(float_to_bfloat16(std::bit_cast<float>(0x7F800001)), 0x7FC0);
}
