// What there is to say of many numbers: the smallest and the largest, the mean, how many are none,
// and how they are spread. By the widest instructions the processor has, on the calling thread.
//
// The outcome does not depend on the instruction set.
#pragma once

#include <limits>
#include <span>

#include "core/torch/dtype.h"

namespace torchmap {

// A sum with twice the digits of a double (Neumaier 1974, "Rundungsfehleranalyse einiger Verfahren
// zur Summation endlicher Summen").
struct ExactSum {
  double sum = 0, rest = 0;

  void add(double value);
  double value() const { return sum + rest; }
};

struct Statistics {
  uint64_t nan = 0, infinite = 0, zero = 0;
  uint64_t finite = 0;  // how many are numbers and not infinite
  // Of the finite ones.
  double min = std::numeric_limits<double>::infinity();
  double max = -std::numeric_limits<double>::infinity();
  // 64-bit integers, which a double has not the digits for: as above, unsigned, signed ones plus
  // 2^63. Not used for others.
  uint64_t low = std::numeric_limits<uint64_t>::max(), high = 0;
  ExactSum sum;
  ExactSum large;  // sums that might be more than a double can have, times 2^-64

  void add(const Statistics& other);
  double mean() const;  // NaN where there is no finite one
};

// Not for packed (quint4x2, quint2x4), opaque (bits*) and complex dtypes. Quantised elements are
// the integers they are.
bool has_statistics(DType dtype);

// Adds `count` row-major elements to `statistics`; they may be unaligned.
void add_statistics(const std::byte* source, DType dtype, uint64_t count, Statistics& statistics);

// Makes min and max of 64-bit integers, once all were added. Where a double has not the digits, min
// is the next one below and max the next one above, so that they are the same only where all
// elements are.
void finish_statistics(DType dtype, Statistics& statistics);

// Equal steps from min to max: element v is in the one with the number (v - min) / (max - min) *
// bins, rounded down; max itself in the last. With min = max all are in the first.
class Bins {
 public:
  // For all the elements that the statistics are of, some of which are finite; one bin at least.
  Bins(const Statistics& statistics, uint32_t bins);

  uint32_t size() const { return bins_; }
  // Adds the finite ones of `count` elements to `counts`, which has size() of them.
  void add(const std::byte* source, DType dtype, uint64_t count, std::span<uint64_t> counts) const;

 private:
  double factor_;  // of elements, so that their differences neither vanish nor overflow
  double low_;     // min * factor
  double scale_;   // bins / ((max - min) * factor)
  uint32_t bins_;
  bool has_odd_;  // whether some are not finite
};

}  // namespace torchmap
