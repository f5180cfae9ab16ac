// Statistics, histograms and differences: every set of loops against one element at a time.
#include "core/kernels/statistics.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "check.h"
#include "core/kernels/convert.h"
#include "core/kernels/statistics_kernels.h"
#include "core/survey.h"
#include "files.h"

using namespace torchmap;
using namespace torchmap::check;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

std::vector<const StatisticsKernels*> all_sets() {
  std::vector<const StatisticsKernels*> found;
  for (const StatisticsKernels* kernels :
       {statistics_portable(), statistics_avx2(), statistics_avx512()})
    if (kernels != nullptr) found.push_back(kernels);
  return found;
}

template <typename T>
const std::byte* bytes_at(const std::vector<T>& elements) {
  return reinterpret_cast<const std::byte*>(elements.data());
}

template <typename T>
Statistics statistics_of(DType dtype, const std::vector<T>& elements) {
  Statistics found;
  add_statistics(bytes_at(elements), dtype, elements.size(), found);
  finish_statistics(dtype, found);
  return found;
}

// One element at a time, summed up with the digits of a long double.
template <typename T>
Statistics one_by_one(const std::vector<T>& elements, long double* mean) {
  Statistics found;
  long double sum = 0;
  for (const T element : elements) {
    const auto value = static_cast<double>(element);
    if (std::isnan(value)) {
      ++found.nan;
    } else if (std::isinf(value)) {
      ++found.infinite;
    } else {
      ++found.finite;
      found.zero += value == 0;
      found.min = std::min(found.min, value);
      found.max = std::max(found.max, value);
      sum += static_cast<long double>(element);
    }
  }
  *mean = sum / static_cast<long double>(found.finite);
  return found;
}

template <typename T>
void expect_right(DType dtype, const std::vector<T>& elements) {
  long double mean = 0;
  const Statistics wanted = one_by_one(elements, &mean), found = statistics_of(dtype, elements);
  EXPECT_EQ(found.nan, wanted.nan);
  EXPECT_EQ(found.infinite, wanted.infinite);
  EXPECT_EQ(found.finite, wanted.finite);
  EXPECT_EQ(found.zero, wanted.zero);
  EXPECT_TRUE(found.min == wanted.min && found.max == wanted.max);
  const auto size = static_cast<long double>(std::max(std::abs(wanted.min), std::abs(wanted.max)));
  EXPECT_TRUE(found.finite == 0 || std::abs(found.mean() - mean) <= size * 0x1p-46L);
}

template <typename T>
std::vector<T> normal(size_t count, unsigned seed, bool has_odd) {
  std::mt19937 random(seed);
  std::normal_distribution<double> distribution;
  std::vector<T> elements(count);
  for (T& element : elements) {
    element = static_cast<T>(distribution(random));
    if (!has_odd) continue;
    const auto choice = random() % 50;
    if (choice == 0) element = std::numeric_limits<T>::quiet_NaN();
    if (choice == 1) element = std::numeric_limits<T>::infinity();
    if (choice == 2) element = -std::numeric_limits<T>::infinity();
    if (choice == 3) element = 0;
    if (choice == 4) element = -T{0};
  }
  return elements;
}

template <typename T>
std::vector<T> integers(size_t count, unsigned seed) {
  std::mt19937_64 random(seed);
  std::vector<T> elements(count);
  for (T& element : elements) element = random() % 9 == 0 ? T{0} : static_cast<T>(random());
  return elements;
}

bool same_row(const Statistics& a, const Statistics& b) {
  const auto bits = [](double value) { return std::bit_cast<uint64_t>(value); };
  return a.nan == b.nan && a.infinite == b.infinite && a.finite == b.finite && a.zero == b.zero &&
         bits(a.min) == bits(b.min) && bits(a.max) == bits(b.max) && a.low == b.low &&
         a.high == b.high && bits(a.sum.sum) == bits(b.sum.sum) &&
         bits(a.sum.rest) == bits(b.sum.rest) && bits(a.large.sum) == bits(b.large.sum);
}

}  // namespace

TEST(statistics_of_all_lengths) {
  for (size_t count = 0; count < 100; ++count) {
    for (const bool has_odd : {false, true}) {
      expect_right(DType::kFloat32, normal<float>(count, 1, has_odd));
      expect_right(DType::kFloat64, normal<double>(count, 2, has_odd));
    }
    expect_right(DType::kInt8, integers<int8_t>(count, 3));
    expect_right(DType::kUInt8, integers<uint8_t>(count, 4));
    expect_right(DType::kInt16, integers<int16_t>(count, 5));
    expect_right(DType::kUInt16, integers<uint16_t>(count, 6));
    expect_right(DType::kInt32, integers<int32_t>(count, 7));
    expect_right(DType::kUInt32, integers<uint32_t>(count, 8));
  }
  for (const size_t count : {size_t{2047}, size_t{2048}, size_t{2049}, size_t{100'003}}) {
    expect_right(DType::kFloat32, normal<float>(count, 9, true));
    expect_right(DType::kFloat64, normal<double>(count, 10, false));
    expect_right(DType::kInt32, integers<int32_t>(count, 11));
  }
}

TEST(statistics_sets_give_the_same_bits) {
  const auto floats = normal<float>(2100, 20, false), odd = normal<float>(2100, 21, true);
  const auto doubles = normal<double>(2100, 22, false),
             odd_doubles = normal<double>(2100, 23, true);
  const auto longs = integers<int64_t>(2100, 24);
  const StatisticsLoop StatisticsKernels::*loops[] = {
      &StatisticsKernels::of_float32, &StatisticsKernels::of_float64,
      &StatisticsKernels::of_int32,   &StatisticsKernels::of_uint32,
      &StatisticsKernels::of_int64,   &StatisticsKernels::of_uint64};
  for (const StatisticsKernels* kernels : all_sets()) {
    for (const std::byte* source : {bytes_at(floats), bytes_at(odd), bytes_at(doubles),
                                    bytes_at(odd_doubles), bytes_at(longs)}) {
      for (const auto loop : loops) {
        for (const size_t count : {size_t{0}, size_t{1}, size_t{15}, size_t{16}, size_t{1000}}) {
          Statistics found, wanted;
          (kernels->*loop)(source + 3, count, found);
          (statistics_portable()->*loop)(source + 3, count, wanted);
          EXPECT_TRUE(same_row(found, wanted));
        }
      }
    }
    std::vector<uint32_t> numbers(1000), expected(1000);
    kernels->bins_of_float32(bytes_at(odd), 1000, 1, -3, 7.3, 77, numbers.data());
    statistics_portable()->bins_of_float32(bytes_at(odd), 1000, 1, -3, 7.3, 77, expected.data());
    EXPECT_TRUE(numbers == expected);
    kernels->mark_float32(bytes_at(odd), 1000, 77, numbers.data());
    size_t marked = 0, not_finite = 0;
    for (size_t i = 0; i < 1000; ++i) {
      marked += numbers[i] == 77;
      not_finite += !std::isfinite(odd[i]);
    }
    EXPECT_EQ(marked, not_finite);
    Difference found, wanted;
    kernels->compare(doubles.data(), odd_doubles.data(), 2000, 0.5, found);
    statistics_portable()->compare(doubles.data(), odd_doubles.data(), 2000, 0.5, wanted);
    EXPECT_EQ(found.differing, wanted.differing);
    EXPECT_EQ(found.not_finite, wanted.not_finite);
    EXPECT_TRUE(found.absolute == wanted.absolute && found.relative == wanted.relative);
  }
}

// No 64 bits of a mean are lost, and nothing is the same that is not.
TEST(statistics_of_64_bit_integers) {
  constexpr int64_t kTwo53 = int64_t{1} << 53;
  const auto near = statistics_of<int64_t>(DType::kInt64, {kTwo53 + 1, kTwo53 + 1, kTwo53});
  EXPECT_TRUE(near.min == 0x1p53 && near.max == 0x1p53 + 2);
  const auto same = statistics_of<int64_t>(DType::kInt64, {kTwo53 + 1, kTwo53 + 1});
  EXPECT_TRUE(same.min == same.max && same.min == 0x1p53);
  const auto ends = statistics_of<int64_t>(DType::kInt64, {INT64_MIN, INT64_MAX, 0});
  EXPECT_TRUE(ends.min == -0x1p63 && ends.max == 0x1p63 && ends.zero == 1);
  const auto most = statistics_of<uint64_t>(DType::kUInt64, {UINT64_MAX, UINT64_MAX - 1, 0});
  EXPECT_TRUE(most.min == 0 && most.max == 0x1p64);
  EXPECT_TRUE(statistics_of<int64_t>(DType::kInt64, {-3, 4, 5}).mean() == 2);
  const auto random = integers<int64_t>(5000, 30);
  long double sum = 0;
  for (const int64_t value : random) sum += static_cast<long double>(value);
  const double mean = statistics_of(DType::kInt64, random).mean();
  EXPECT_TRUE(std::abs(mean - sum / 5000) <= std::abs(sum / 5000) * 0x1p-51L);
}

TEST(statistics_of_sums_that_are_too_large) {
  const auto found = statistics_of<double>(DType::kFloat64, {1.7e308, 1.7e308, 1.7e308, -1e308});
  EXPECT_TRUE(std::abs(found.mean() - 1.025e308) < 1e294);
  std::vector<double> mixed(5000, 1.5e308);
  for (size_t i = 2500; i < 5000; ++i) mixed[i] = 1;
  EXPECT_TRUE(std::abs(statistics_of(DType::kFloat64, mixed).mean() - 0.75e308) < 1e294);
  EXPECT_TRUE(statistics_of<float>(DType::kFloat32, {3e38f, 3e38f}).mean() ==
              static_cast<double>(3e38f));
}

TEST(bins_by_their_definition) {
  for (const bool has_odd : {false, true}) {
    const auto elements = normal<float>(20'001, 40, has_odd);
    const Statistics statistics = statistics_of(DType::kFloat32, elements);
    for (const uint32_t bins : {1u, 2u, 64u, 1000u}) {
      std::vector<uint64_t> found(bins), wanted(bins);
      Bins(statistics, bins).add(bytes_at(elements), DType::kFloat32, elements.size(), found);
      const double scale = bins / (statistics.max - statistics.min);
      for (const float element : elements) {
        if (!std::isfinite(element)) continue;
        const auto step = static_cast<uint32_t>((double{element} - statistics.min) * scale);
        ++wanted[std::min(step, bins - 1)];
      }
      EXPECT_TRUE(found == wanted);
    }
  }
}

TEST(bins_of_extremes) {
  const auto counts = [](const std::vector<double>& elements) {
    std::vector<uint64_t> found(4);
    const Statistics statistics = statistics_of(DType::kFloat64, elements);
    Bins(statistics, 4).add(bytes_at(elements), DType::kFloat64, elements.size(), found);
    return found;
  };
  using Counts = std::vector<uint64_t>;
  EXPECT_TRUE(counts({-1.7e308, -1e308, 0.1, 1.7e308, kInf}) == Counts({2, 0, 1, 1}));
  EXPECT_TRUE(counts({0, 5e-324, 1e-323, 2e-323}) == Counts({1, 1, 1, 1}));
  EXPECT_TRUE(counts({3, 3, 3}) == Counts({3, 0, 0, 0}));
}

TEST(differences_by_their_definition) {
  const auto difference = [](const std::vector<double>& a, const std::vector<double>& b,
                             double tolerance) {
    Difference found;
    add_difference(bytes_at(a), DType::kFloat64, bytes_at(b), DType::kFloat64, a.size(), tolerance,
                   found);
    return found;
  };
  const Difference some = difference({1, 2, NAN, NAN, kInf, -0.0, kInf, 8},  //
                                     {1, 3, NAN, 5, kInf, 0, -kInf, 4}, 0);
  EXPECT_EQ(some.differing, 4u);
  EXPECT_EQ(some.not_finite, 2u);
  EXPECT_TRUE(some.absolute == 4 && some.relative == 0.5);
  EXPECT_EQ(difference({1, 2, 8}, {1, 3, 4}, 1).differing, 1u);
  const Difference huge = difference({1.5e308}, {-1.5e308}, 0);
  EXPECT_TRUE(huge.absolute == std::numeric_limits<double>::max() && huge.relative == 2);

  std::vector<double> a = normal<double>(10'000, 50, false), b = a;
  double absolute = 0, relative = 0;
  for (size_t i = 0; i < b.size(); i += 37) {
    b[i] *= 1 + 1e-9 * static_cast<double>(i);
    absolute = std::max(absolute, std::abs(a[i] - b[i]));
    relative = std::max(relative, std::abs(a[i] - b[i]) / std::max(std::abs(a[i]), std::abs(b[i])));
  }
  const Difference many = difference(a, b, 0);
  EXPECT_EQ(many.differing, 270u);  // the first is multiplied by 1
  EXPECT_TRUE(many.absolute == absolute);
  EXPECT_TRUE(std::abs(many.relative - relative) <= relative * 0x1p-50);
}

TEST(differences_of_64_bit_integers_are_exact) {
  const std::vector<int64_t> a = {(int64_t{1} << 60) + 1, INT64_MIN, 7},
                             b = {int64_t{1} << 60, INT64_MAX, 7};
  Difference found;
  add_difference(bytes_at(a), DType::kInt64, bytes_at(b), DType::kInt64, 3, 0, found);
  EXPECT_EQ(found.differing, 2u);
  EXPECT_TRUE(found.absolute == 0x1p64);
  found = {};
  add_difference(bytes_at(a), DType::kInt64, bytes_at(b), DType::kInt64, 3, 1, found);
  EXPECT_EQ(found.differing, 1u);
}

// Of every dtype, from a file and from memory, by several threads.
TEST(survey_of_files_and_memory) {
  const auto noise = integers<uint64_t>(900'001, 60);
  const std::string_view text(reinterpret_cast<const char*>(noise.data()), noise.size() * 8);
  const TemporaryFile file(text);
  auto source = open_file(file.path(), {false});
  ASSERT_TRUE(source.ok());
  for (size_t i = 0; i < static_cast<size_t>(DType::kCount); ++i) {
    Elements elements;
    elements.dtype = static_cast<DType>(i);
    if (!has_statistics(elements.dtype)) continue;
    elements.count = (text.size() - 1) / info(elements.dtype).bytes;
    elements.memory = bytes_at(noise) + 1;
    Elements in_file = elements;
    in_file.memory = nullptr;
    in_file.reader = (*source)->reader();
    in_file.offset = 1;
    std::atomic<uint64_t> done = 0;
    SurveyOptions options;
    options.done = &done;
    auto found = survey(elements, 50, {}), read = survey(in_file, 50, options);
    ASSERT_TRUE(found.ok() && read.ok());
    EXPECT_TRUE(same_row(found->statistics, read->statistics));
    EXPECT_TRUE(found->histogram == read->histogram);
    uint64_t counted = 0;
    for (const uint64_t one : found->histogram) counted += one;
    EXPECT_EQ(counted, found->statistics.finite);
    EXPECT_EQ(counted + found->statistics.nan + found->statistics.infinite, elements.count);
    EXPECT_EQ(done.load(), elements.count * info(elements.dtype).bytes);
    auto difference = compare(elements, in_file, 0, {});
    ASSERT_TRUE(difference.ok());
    EXPECT_EQ(difference->differing, 0u);
  }
}

TEST(survey_fails_by_its_code) {
  TemporaryFile file(std::string(100'000, '\1'));
  auto source = open_file(file.path(), {true});
  ASSERT_TRUE(source.ok());
  Elements elements;
  elements.count = 100'000;
  elements.reader = (*source)->reader();
  const std::atomic<bool> cancelled = true;
  SurveyOptions options;
  options.cancelled = &cancelled;
  EXPECT_EQ(survey(elements, 0, options).status().code(), Code::kCancelled);
  EXPECT_EQ(compare(elements, elements, 0, options).status().code(), Code::kCancelled);
  file.resize(50'000);
  EXPECT_EQ(survey(elements, 0, {}).status().code(), Code::kFileChanged);
}
