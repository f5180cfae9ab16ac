// The loops over numbers. They are plain: compilers make vectors of them, wider ones where
// TORCHMAP_TARGET allows it. Included once by each file that has a TORCHMAP_TARGET for it, and
// compiled without contraction of floating-point expressions.
//
// Sums and the like are kept in kLanes places, so that it does not depend on the width of vectors
// what is added to what.
#pragma once

#ifndef TORCHMAP_TARGET
#error "TORCHMAP_TARGET says which instructions may be used"
#endif

#include <array>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "core/kernels/statistics_kernels.h"

// A loop over the lanes is one over vectors; unrolled it would be one over scalars.
#ifdef __GNUC__
#define TORCHMAP_LANES _Pragma("GCC unroll 1")
#else
#define TORCHMAP_LANES
#endif

namespace torchmap {
namespace {

constexpr uint64_t kLanes = 16;

template <typename T>
TORCHMAP_TARGET inline T load(const std::byte* source, uint64_t i) {
  T value;
  std::memcpy(&value, source + i * sizeof(T), sizeof(T));
  return value;
}

// Sums of float64 beyond this might become infinite when many are added.
constexpr double kLarge = 0x1p900, kLargeScale = 0x1p-64;

// Elements some of which are not finite, or of which the sum is large.
template <typename T>
TORCHMAP_TARGET void range_of_any(const std::byte* source, uint64_t count, Statistics& statistics) {
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  double sums[kLanes] = {}, large[kLanes] = {};
  T low[kLanes], high[kLanes];
  uint32_t zeros[kLanes] = {}, nans[kLanes] = {}, finite[kLanes] = {};
  for (uint64_t lane = 0; lane < kLanes; ++lane) {
    low[lane] = kInfinity;
    high[lane] = -kInfinity;
  }
  uint64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    TORCHMAP_LANES
    for (uint64_t lane = 0; lane < kLanes; ++lane) {
      const T value = load<T>(source, i + lane);
      const T odd = value - value;  // NaN of NaN and infinity, else 0
      const T number = odd == 0 ? value : 0;
      const T least = odd == 0 ? value : kInfinity;
      const T most = odd == 0 ? value : -kInfinity;
      sums[lane] += static_cast<double>(number);
      large[lane] += static_cast<double>(number) * kLargeScale;
      low[lane] = least < low[lane] ? least : low[lane];
      high[lane] = most > high[lane] ? most : high[lane];
      zeros[lane] += static_cast<uint32_t>(value == 0);
      nans[lane] += static_cast<uint32_t>(value != value);
      finite[lane] += static_cast<uint32_t>(odd == 0);
    }
  }
  // The rest is made as long with infinities, which are not counted.
  if (i < count) {
    std::array<T, kLanes> rest;
    rest.fill(kInfinity);
    std::memcpy(rest.data(), source + i * sizeof(T), (count - i) * sizeof(T));
    Statistics tail;
    range_of_any<T>(reinterpret_cast<const std::byte*>(rest.data()), kLanes, tail);
    tail.infinite -= kLanes - (count - i);
    statistics.add(tail);
  }
  Statistics found;
  double sum = 0, large_sum = 0;
  for (uint64_t lane = 0; lane < kLanes; ++lane) {
    sum += sums[lane];
    large_sum += large[lane];
    const auto least = static_cast<double>(low[lane]), most = static_cast<double>(high[lane]);
    found.min = least < found.min ? least : found.min;
    found.max = most > found.max ? most : found.max;
    found.zero += zeros[lane];
    found.nan += nans[lane];
    found.finite += finite[lane];
  }
  found.infinite = i - found.finite - found.nan;
  if (std::abs(sum) < kLarge)
    found.sum.add(sum);
  else
    found.large.add(large_sum);
  statistics.add(found);
}

// A sum tells whether all are finite: of NaN and infinity it is neither.
template <typename T>
TORCHMAP_TARGET void range_of_floats(const std::byte* source, uint64_t count,
                                     Statistics& statistics) {
  double sums[kLanes] = {};
  T low[kLanes], high[kLanes];
  uint32_t zeros[kLanes] = {};
  for (uint64_t lane = 0; lane < kLanes; ++lane) {
    low[lane] = std::numeric_limits<T>::infinity();
    high[lane] = -std::numeric_limits<T>::infinity();
  }
  uint64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    TORCHMAP_LANES
    for (uint64_t lane = 0; lane < kLanes; ++lane) {
      const T value = load<T>(source, i + lane);
      sums[lane] += static_cast<double>(value);
      low[lane] = value < low[lane] ? value : low[lane];
      high[lane] = value > high[lane] ? value : high[lane];
      zeros[lane] += static_cast<uint32_t>(value == 0);
    }
  }
  double sum = 0;
  T min = std::numeric_limits<T>::infinity(), max = -min;
  uint64_t zero = 0;
  for (uint64_t lane = 0; lane < kLanes; ++lane) {
    sum += sums[lane];
    min = low[lane] < min ? low[lane] : min;
    max = high[lane] > max ? high[lane] : max;
    zero += zeros[lane];
  }
  for (; i < count; ++i) {
    const T value = load<T>(source, i);
    sum += static_cast<double>(value);
    min = value < min ? value : min;
    max = value > max ? value : max;
    zero += static_cast<uint64_t>(value == 0);
  }
  if (!(std::abs(sum) < kLarge)) return range_of_any<T>(source, count, statistics);
  statistics.finite += count;
  statistics.zero += zero;
  const auto least = static_cast<double>(min), most = static_cast<double>(max);
  statistics.min = least < statistics.min ? least : statistics.min;
  statistics.max = most > statistics.max ? most : statistics.max;
  statistics.sum.add(sum);
}

// 32-bit integers.
template <typename T>
TORCHMAP_TARGET void range_of_ints(const std::byte* source, uint64_t count,
                                   Statistics& statistics) {
  T min = std::numeric_limits<T>::max(), max = std::numeric_limits<T>::min();
  int64_t sum = 0;
  uint32_t zero = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const T value = load<T>(source, i);
    min = value < min ? value : min;
    max = value > max ? value : max;
    sum += static_cast<int64_t>(value);
    zero += static_cast<uint32_t>(value == 0);
  }
  if (count == 0) return;
  statistics.finite += count;
  statistics.zero += zero;
  const auto least = static_cast<double>(min), most = static_cast<double>(max);
  statistics.min = least < statistics.min ? least : statistics.min;
  statistics.max = most > statistics.max ? most : statistics.max;
  statistics.sum.add(static_cast<double>(sum));
}

// 64-bit integers plus 2^63 where they are signed: the order is that of unsigned ones then, and
// halves can be summed up without loss.
template <typename T>
TORCHMAP_TARGET void range_of_longs(const std::byte* source, uint64_t count,
                                    Statistics& statistics) {
  constexpr uint64_t kBias = std::is_signed_v<T> ? uint64_t{1} << 63 : 0;
  uint64_t low = std::numeric_limits<uint64_t>::max(), high = 0, upper = 0, lower = 0, zero = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t value = load<uint64_t>(source, i) ^ kBias;
    low = value < low ? value : low;
    high = value > high ? value : high;
    upper += value >> 32;
    lower += value & 0xFFFFFFFF;
    zero += static_cast<uint64_t>(value == kBias);
  }
  if (count == 0) return;
  statistics.finite += count;
  statistics.zero += zero;
  statistics.low = low < statistics.low ? low : statistics.low;
  statistics.high = high > statistics.high ? high : statistics.high;
  const auto bias = static_cast<int64_t>((kBias >> 32) * count);
  statistics.sum.add(static_cast<double>(static_cast<int64_t>(upper) - bias) * 0x1p32);
  statistics.sum.add(static_cast<double>(lower));
}

template <typename T>
TORCHMAP_TARGET void bins_of(const std::byte* source, uint64_t count, double factor, double low,
                             double scale, uint32_t bins, uint32_t* numbers) {
  const double last = bins - 1;
  for (uint64_t i = 0; i < count; ++i) {
    double step = (static_cast<double>(load<T>(source, i)) * factor - low) * scale;
    // NaN becomes the last one.
    step = step < last ? step : last;
    step = step > 0 ? step : 0;
    numbers[i] = static_cast<uint32_t>(static_cast<int32_t>(step));
  }
}

template <typename T>
TORCHMAP_TARGET void mark_odd(const std::byte* source, uint64_t count, uint32_t mark,
                              uint32_t* numbers) {
  for (uint64_t i = 0; i < count; ++i) {
    const T value = load<T>(source, i);
    numbers[i] = value - value == 0 ? numbers[i] : mark;
  }
}

template <typename T>
TORCHMAP_TARGET void widen(const std::byte* source, uint64_t count, double* target) {
  for (uint64_t i = 0; i < count; ++i) target[i] = static_cast<double>(load<T>(source, i));
}

TORCHMAP_TARGET inline double larger(double a, double b) { return a > b ? a : b; }

// Any elements, one by one, with a division for each.
TORCHMAP_TARGET void compare_any(const double* a, const double* b, uint64_t count, double tolerance,
                                 Difference& difference) {
  constexpr double kMost = std::numeric_limits<double>::max();
  for (uint64_t i = 0; i < count; ++i) {
    const double x = a[i], y = b[i];
    if (x == y || (std::isnan(x) && std::isnan(y))) continue;
    if (!std::isfinite(x) || !std::isfinite(y)) {
      ++difference.differing;
      ++difference.not_finite;
      continue;
    }
    const double apart = std::abs(x - y), size = larger(std::abs(x), std::abs(y));
    difference.differing += static_cast<uint64_t>(apart > tolerance);
    difference.absolute = larger(apart < kMost ? apart : kMost, difference.absolute);
    // Halves: the difference may be more than a double can have. It is no subnormal number's.
    const double relative = size > 1 ? std::abs(x * 0.5 - y * 0.5) / (size * 0.5) : apart / size;
    difference.relative = larger(relative, difference.relative);
  }
}

// What is odd goes to compare_any: blocks with elements that are not finite, or too far apart, and
// such as have a larger relative difference than was seen before.
TORCHMAP_TARGET void compare_blocks(const double* a, const double* b, uint64_t count,
                                    double tolerance, Difference& difference) {
  double absolute[kLanes] = {}, excess[kLanes] = {}, odd[kLanes] = {};
  uint64_t differing[kLanes] = {};
  const double relative = difference.relative;
  uint64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    TORCHMAP_LANES
    for (uint64_t lane = 0; lane < kLanes; ++lane) {
      const double x = a[i + lane], y = b[i + lane];
      const double apart = std::abs(x - y);
      const double size = std::abs(x) > std::abs(y) ? std::abs(x) : std::abs(y);
      const double further = apart - relative * size;
      absolute[lane] = apart > absolute[lane] ? apart : absolute[lane];
      excess[lane] = further > excess[lane] ? further : excess[lane];
      differing[lane] += static_cast<uint64_t>(apart > tolerance);
      odd[lane] += apart - apart;  // NaN of NaN and infinity, else 0
    }
  }
  double most = 0, beyond = 0, oddness = 0;
  uint64_t found = 0;
  for (uint64_t lane = 0; lane < kLanes; ++lane) {
    most = larger(absolute[lane], most);
    beyond = larger(excess[lane], beyond);
    oddness += odd[lane];
    found += differing[lane];
  }
  if (oddness != 0 || beyond > 0) return compare_any(a, b, count, tolerance, difference);
  difference.differing += found;
  difference.absolute = larger(most, difference.absolute);
  compare_any(a + i, b + i, count - i, tolerance, difference);
}

constexpr StatisticsKernels kLoops = {
    .of_float32 = range_of_floats<float>,
    .of_float64 = range_of_floats<double>,
    .of_int32 = range_of_ints<int32_t>,
    .of_uint32 = range_of_ints<uint32_t>,
    .of_int64 = range_of_longs<int64_t>,
    .of_uint64 = range_of_longs<uint64_t>,
    .bins_of_float32 = bins_of<float>,
    .bins_of_float64 = bins_of<double>,
    .mark_float32 = mark_odd<float>,
    .mark_float64 = mark_odd<double>,
    .widen_float32 = widen<float>,
    .widen_int32 = widen<int32_t>,
    .widen_uint32 = widen<uint32_t>,
    .widen_int64 = widen<int64_t>,
    .widen_uint64 = widen<uint64_t>,
    .compare = compare_blocks,
};

}  // namespace
}  // namespace torchmap
