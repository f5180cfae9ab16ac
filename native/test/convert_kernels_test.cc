// The conversions' loops of every instruction set there is, and what threads do of them.
#include "core/kernels/convert_kernels.h"

#include <cstring>
#include <random>
#include <vector>

#include "check.h"
#include "core/archive/crc32.h"
#include "core/kernels/convert.h"
#include "core/kernels/dequantize.h"

using namespace torchmap;
using namespace torchmap::check;

namespace {

using Bytes = std::vector<std::byte>;

std::vector<const ConvertKernels*> all_kernels() {
  std::vector<const ConvertKernels*> found;
  for (const ConvertKernels* kernels : {convert_portable(), convert_avx2(), convert_avx512()})
    if (kernels != nullptr) found.push_back(kernels);
  return found;
}

Bytes noise(size_t size, unsigned seed) {
  std::mt19937 random(seed);
  Bytes bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

// CRC-32 of the float32 values of all patterns of `T`, little-endian.
template <typename T>
uint32_t crc_of_all(ConvertLoop loop) {
  constexpr size_t kCount = size_t{1} << 8 * sizeof(T);
  std::vector<T> patterns(kCount);
  for (size_t i = 0; i < kCount; ++i) patterns[i] = static_cast<T>(i);
  std::vector<float> out(kCount);
  loop(reinterpret_cast<const std::byte*>(patterns.data()), kCount, out.data());
  return crc32(0, std::as_bytes(std::span(out)));
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

constexpr ConvertLoop ConvertKernels::*kLoops[] = {
    &ConvertKernels::from_float64,  &ConvertKernels::from_half,   &ConvertKernels::from_bfloat16,
    &ConvertKernels::from_e5m2,     &ConvertKernels::from_e4m3fn, &ConvertKernels::from_e5m2fnuz,
    &ConvertKernels::from_e4m3fnuz, &ConvertKernels::from_e8m0,   &ConvertKernels::from_bool,
    &ConvertKernels::from_int8,     &ConvertKernels::from_uint8,  &ConvertKernels::from_int16,
    &ConvertKernels::from_uint16,   &ConvertKernels::from_int32,  &ConvertKernels::from_uint32,
    &ConvertKernels::from_int64,    &ConvertKernels::from_uint64};

}  // namespace

// Of torch 2.13 on x86-64: zlib.crc32(torch.arange(n).view(dtype).float().numpy()), NaN included.
TEST(convert_all_patterns_have_the_bits_of_torch) {
  for (const ConvertKernels* kernels : all_kernels()) {
    EXPECT_EQ(crc_of_all<uint16_t>(kernels->from_half), 0x4E646BCAu);
    EXPECT_EQ(crc_of_all<uint16_t>(kernels->from_bfloat16), 0x093B1249u);
    EXPECT_EQ(crc_of_all<uint8_t>(kernels->from_e4m3fn), 0x3E178A35u);
    EXPECT_EQ(crc_of_all<uint8_t>(kernels->from_e5m2), 0xE3C4833Fu);
    EXPECT_EQ(crc_of_all<uint8_t>(kernels->from_e4m3fnuz), 0x27507F94u);
    EXPECT_EQ(crc_of_all<uint8_t>(kernels->from_e5m2fnuz), 0xDC48D442u);
    EXPECT_EQ(crc_of_all<uint8_t>(kernels->from_e8m0), 0x395C51DAu);
  }
}

// From every address modulo 64, lengths around those of vectors, against one element at a time;
// nothing is written behind the end.
TEST(convert_lengths_and_addresses) {
  const Bytes bytes = noise(64 + 8 * 300, 30);
  std::mt19937 random(31);
  for (const ConvertKernels* kernels : all_kernels()) {
    for (const auto loop : kLoops) {
      const size_t itemsize =
          loop == &ConvertKernels::from_float64 || loop == &ConvertKernels::from_int64 ||
                  loop == &ConvertKernels::from_uint64
              ? 8
          : loop == &ConvertKernels::from_int32 || loop == &ConvertKernels::from_uint32 ? 4
          : loop == &ConvertKernels::from_half || loop == &ConvertKernels::from_bfloat16 ||
                  loop == &ConvertKernels::from_int16 || loop == &ConvertKernels::from_uint16
              ? 2
              : 1;
      for (size_t round = 0; round < 150; ++round) {
        const size_t count = round < 80 ? round : random() % 300;
        const std::byte* source = bytes.data() + round % 64;
        std::vector<float> found(count + 1, -7.5f), wanted(count + 1, -7.5f);
        (kernels->*loop)(source, count, found.data());
        for (size_t i = 0; i < count; ++i)
          (convert_portable()->*loop)(source + i * itemsize, 1, &wanted[i]);
        EXPECT_TRUE(same_bits(found, wanted));
      }
    }
  }
}

TEST(convert_by_threads) {
  constexpr size_t kCount = 2'000'003;
  const Bytes bytes = noise(8 * kCount + 1, 32);
  const std::byte* source = bytes.data() + 1;
  for (const auto& [dtype, loop] : std::vector<std::pair<DType, ConvertLoop>>{
           {DType::kFloat16, convert_portable()->from_half},
           {DType::kBFloat16, convert_portable()->from_bfloat16},
           {DType::kInt64, convert_portable()->from_int64},
           {DType::kUInt64, convert_portable()->from_uint64},
           {DType::kFloat64, convert_portable()->from_float64},
           {DType::kFloat8E4M3Fn, convert_portable()->from_e4m3fn}}) {
    std::vector<float> found(kCount), wanted(kCount);
    to_float32(source, dtype, kCount, found.data());
    loop(source, kCount, wanted.data());
    EXPECT_TRUE(same_bits(found, wanted));
  }
}

// By the definition, one element at a time.
TEST(dequantize_shapes) {
  std::mt19937 random(33);
  const Bytes bytes = noise(4 * 1'600'000, 34);
  const auto expect = [&](DType dtype, ChannelShape shape) {
    const uint64_t count = shape.outer * shape.channels * shape.inner;
    std::vector<double> scales(shape.channels), zeros(shape.channels);
    for (double& scale : scales) scale = static_cast<double>(random()) / 3e9 + 1e-6;
    for (double& zero : zeros) zero = static_cast<double>(random() % 256) - 100.25;
    std::vector<float> found(count + 1, 5.0f), wanted(count + 1, 5.0f);
    dequantize(bytes.data() + 1, dtype, shape, scales.data(), zeros.data(), found.data());
    const auto* stored = reinterpret_cast<const uint8_t*>(bytes.data() + 1);
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t channel = i / shape.inner % shape.channels;
      double element = 0;
      int32_t word;
      switch (dtype) {
        case DType::kQInt8:
          element = static_cast<int8_t>(stored[i]);
          break;
        case DType::kQInt32:
          std::memcpy(&word, stored + 4 * i, sizeof word);
          element = word;
          break;
        case DType::kQUInt8:
          element = stored[i];
          break;
        case DType::kQUInt4x2:
          element = stored[i / 2] >> (i % 2 * 4) & 15;
          break;
        default:
          element = stored[i / 4] >> (i % 4 * 2) & 3;
      }
      const auto difference = static_cast<float>(element - zeros[channel]);
      wanted[i] = static_cast<float>(static_cast<double>(difference) * scales[channel]);
    }
    EXPECT_TRUE(same_bits(found, wanted));
  };
  for (const DType dtype :
       {DType::kQInt8, DType::kQUInt8, DType::kQInt32, DType::kQUInt4x2, DType::kQUInt2x4}) {
    expect(dtype, {0, 3, 2});
    expect(dtype, {1, 1, 1'300'001});  // by threads
    expect(dtype, {3, 5000, 77});
    expect(dtype, {700, 1801, 1});
    for (int i = 0; i < 40; ++i)
      expect(dtype, {1 + random() % 9, 1 + random() % 40, 1 + random() % 3 * (random() % 30)});
  }
}
