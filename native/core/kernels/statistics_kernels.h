// The loops over numbers for one instruction set. All sets give the same bits; they are named here
// for statistics.cc, compare.cc and the tests. Sources may be unaligned.
#pragma once

#include "core/kernels/compare.h"
#include "core/kernels/statistics.h"

namespace torchmap {

// Elements that are looked at together: they and what is made of them stay in the first cache.
constexpr uint64_t kStatisticsBlock = 2048;

// `count` up to kStatisticsBlock.
using StatisticsLoop = void (*)(const std::byte* source, uint64_t count, Statistics& statistics);
// The number of the bin of each; of those that are not finite that of any.
using BinLoop = void (*)(const std::byte* source, uint64_t count, double factor, double low,
                         double scale, uint32_t bins, uint32_t* numbers);
// Puts `mark` in the place of the numbers of those that are not finite.
using MarkLoop = void (*)(const std::byte* source, uint64_t count, uint32_t mark,
                          uint32_t* numbers);
using WidenLoop = void (*)(const std::byte* source, uint64_t count, double* target);
using CompareLoop = void (*)(const double* a, const double* b, uint64_t count, double tolerance,
                             Difference& difference);

struct StatisticsKernels {
  StatisticsLoop of_float32, of_float64, of_int32, of_uint32, of_int64, of_uint64;
  BinLoop bins_of_float32, bins_of_float64;
  MarkLoop mark_float32, mark_float64;
  WidenLoop widen_float32, widen_int32, widen_uint32, widen_int64, widen_uint64;
  CompareLoop compare;
};

// As in convert_kernels.h.
const StatisticsKernels* statistics_portable();
const StatisticsKernels* statistics_avx2();
const StatisticsKernels* statistics_avx512();
const StatisticsKernels& statistics_kernels();

// `count` elements up to kStatisticsBlock as float64, for dtypes that have statistics: in `buffer`,
// or where they are, if they are that and aligned.
const double* widened(const StatisticsKernels& kernels, const std::byte* source, DType dtype,
                      uint64_t count, double* buffer);

}  // namespace torchmap
