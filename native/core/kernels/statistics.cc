#include "core/kernels/statistics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "core/kernels/convert.h"
#include "core/kernels/statistics_kernels.h"

namespace torchmap {
namespace {

bool is_long(DType dtype) { return dtype == DType::kInt64 || dtype == DType::kUInt64; }

// The dtypes that are taken as they are; nothing for those that float32 has every element of.
StatisticsLoop statistics_loop(DType dtype) {
  const StatisticsKernels& kernels = statistics_kernels();
  switch (dtype) {
    case DType::kFloat32:
      return kernels.of_float32;
    case DType::kFloat64:
      return kernels.of_float64;
    case DType::kInt32:
    case DType::kQInt32:
      return kernels.of_int32;
    case DType::kUInt32:
      return kernels.of_uint32;
    case DType::kInt64:
      return kernels.of_int64;
    case DType::kUInt64:
      return kernels.of_uint64;
    default:
      return nullptr;
  }
}

WidenLoop widen_loop(const StatisticsKernels& kernels, DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return kernels.widen_float32;
    case DType::kInt32:
    case DType::kQInt32:
      return kernels.widen_int32;
    case DType::kUInt32:
      return kernels.widen_uint32;
    case DType::kInt64:
      return kernels.widen_int64;
    case DType::kUInt64:
      return kernels.widen_uint64;
    default:
      return nullptr;
  }
}

// The double nearest to a 64-bit integer, or the next one below (`direction` -1) or above (1) it.
double bound_of(uint64_t value, bool is_signed, int direction) {
  const uint64_t bias = is_signed ? uint64_t{1} << 63 : 0;
  const double nearest = is_signed ? static_cast<double>(static_cast<int64_t>(value ^ bias))
                                   : static_cast<double>(value);
  if (direction == 0) return nearest;
  // Compared in integers: 2^64 and 2^63 are more than any.
  const double most = is_signed ? 0x1p63 : 0x1p64;
  const bool is_above =
      nearest >= most || (is_signed ? static_cast<uint64_t>(static_cast<int64_t>(nearest)) ^ bias
                                    : static_cast<uint64_t>(nearest)) > value;
  const bool is_below =
      nearest < most && (is_signed ? static_cast<uint64_t>(static_cast<int64_t>(nearest)) ^ bias
                                   : static_cast<uint64_t>(nearest)) < value;
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (direction < 0 && is_above) return std::nextafter(nearest, -kInfinity);
  if (direction > 0 && is_below) return std::nextafter(nearest, kInfinity);
  return nearest;
}

}  // namespace

void ExactSum::add(double value) {
  const double next = sum + value;
  // What was lost of the smaller one.
  rest += std::abs(sum) >= std::abs(value) ? (sum - next) + value : (value - next) + sum;
  sum = next;
}

void Statistics::add(const Statistics& other) {
  nan += other.nan;
  infinite += other.infinite;
  zero += other.zero;
  finite += other.finite;
  min = std::min(min, other.min);
  max = std::max(max, other.max);
  low = std::min(low, other.low);
  high = std::max(high, other.high);
  for (const double part : {other.sum.sum, other.sum.rest}) sum.add(part);
  for (const double part : {other.large.sum, other.large.rest}) large.add(part);
}

double Statistics::mean() const {
  if (finite == 0) return std::numeric_limits<double>::quiet_NaN();
  const auto count = static_cast<double>(finite);
  const double mean = sum.value() / count + large.value() / count * 0x1p64;
  // Rounding may have moved it by a place.
  return std::clamp(mean, min, max);
}

bool has_statistics(DType dtype) { return converts_to_float32(dtype); }

void add_statistics(const std::byte* source, DType dtype, uint64_t count, Statistics& statistics) {
  const StatisticsLoop loop = statistics_loop(dtype);
  const uint64_t bytes = info(dtype).bytes;
  std::array<float, kStatisticsBlock> floats;
  for (uint64_t i = 0; i < count; i += kStatisticsBlock) {
    const uint64_t taken = std::min(kStatisticsBlock, count - i);
    const std::byte* block = source + i * bytes;
    if (loop != nullptr) {
      loop(block, taken, statistics);
      continue;
    }
    to_float32(block, dtype, taken, floats.data());
    statistics_kernels().of_float32(reinterpret_cast<const std::byte*>(floats.data()), taken,
                                    statistics);
  }
}

void finish_statistics(DType dtype, Statistics& statistics) {
  if (!is_long(dtype) || statistics.finite == 0) return;
  const bool is_signed = dtype == DType::kInt64;
  const int outwards = statistics.low == statistics.high ? 0 : 1;
  statistics.min = bound_of(statistics.low, is_signed, -outwards);
  statistics.max = bound_of(statistics.high, is_signed, outwards);
}

const double* widened(const StatisticsKernels& kernels, const std::byte* source, DType dtype,
                      uint64_t count, double* buffer) {
  if (dtype == DType::kFloat64) {
    if (reinterpret_cast<uintptr_t>(source) % alignof(double) == 0)
      return reinterpret_cast<const double*>(source);
    std::memcpy(buffer, source, count * sizeof(double));
    return buffer;
  }
  if (const WidenLoop loop = widen_loop(kernels, dtype)) {
    loop(source, count, buffer);
    return buffer;
  }
  std::array<float, kStatisticsBlock> floats;
  to_float32(source, dtype, count, floats.data());
  kernels.widen_float32(reinterpret_cast<const std::byte*>(floats.data()), count, buffer);
  return buffer;
}

Bins::Bins(const Statistics& statistics, uint32_t bins)
    : factor_(1), bins_(bins), has_odd_(statistics.nan + statistics.infinite > 0) {
  const double min = statistics.min, max = statistics.max;
  const auto width = [&] { return max * factor_ - min * factor_; };
  if (!std::isfinite(width())) factor_ = 0.5;
  // So narrow that its inverse would be infinite.
  if (width() < 0x1p-900) factor_ = std::abs(max) < 1 ? 0x1p900 : 1;
  low_ = min * factor_;
  scale_ = width() > 0 ? bins / width() : 0;
}

void Bins::add(const std::byte* source, DType dtype, uint64_t count,
               std::span<uint64_t> counts) const {
  const StatisticsKernels& kernels = statistics_kernels();
  const bool is_wide = dtype == DType::kFloat64 || widen_loop(kernels, dtype) != nullptr;
  const bool is_float32 = dtype == DType::kFloat32;
  const uint64_t bytes = info(dtype).bytes;
  std::array<float, kStatisticsBlock> floats;
  std::array<double, kStatisticsBlock> doubles;
  std::array<uint32_t, kStatisticsBlock> numbers;
  for (uint64_t i = 0; i < count; i += kStatisticsBlock) {
    const uint64_t taken = std::min(kStatisticsBlock, count - i);
    const std::byte* elements = source + i * bytes;
    if (!is_wide) {
      to_float32(elements, dtype, taken, floats.data());
      elements = reinterpret_cast<const std::byte*>(floats.data());
    } else if (!is_float32) {
      const double* wide = widened(kernels, elements, dtype, taken, doubles.data());
      elements = reinterpret_cast<const std::byte*>(wide);
    }
    const bool is_float = !is_wide || is_float32;
    const auto number = is_float ? kernels.bins_of_float32 : kernels.bins_of_float64;
    number(elements, taken, factor_, low_, scale_, bins_, numbers.data());
    if (has_odd_) {
      const auto mark = is_float ? kernels.mark_float32 : kernels.mark_float64;
      mark(elements, taken, bins_, numbers.data());
    }
    for (uint64_t k = 0; k < taken; ++k)
      if (numbers[k] < bins_) ++counts[numbers[k]];
  }
}

}  // namespace torchmap
