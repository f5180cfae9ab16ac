// All elements of a tensor looked at once: statistics, histograms, differences. By several threads,
// in pieces, and from files by position, so that nothing of a tensor stays in memory.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "core/kernels/compare.h"
#include "core/kernels/statistics.h"
#include "core/source/source.h"

namespace torchmap {

// Row-major elements in host order, in memory or in a file.
struct Elements {
  DType dtype = DType::kUInt8;  // such that has_statistics()
  uint64_t count = 0;
  std::shared_ptr<Source> reader;     // Source::reader() of the file
  uint64_t offset = 0;                // bytes from its start to the first one
  const std::byte* memory = nullptr;  // without a reader: the first one
};

struct SurveyOptions {
  const std::atomic<bool>* cancelled = nullptr;
  std::atomic<uint64_t>* done = nullptr;  // bytes that were looked at
};

// Statistics that are finished, and how many elements are in each of `bins` equal steps from the
// smallest to the largest, which takes a second look; empty for 0 bins, and where no element is
// finite. kFileChanged when a file is no longer the one that was opened.
struct Survey {
  Statistics statistics;
  std::vector<uint64_t> histogram;
};
Result<Survey> survey(const Elements& elements, uint32_t bins, const SurveyOptions& options);

// As add_difference(), for as many elements as `a` has; `b` has as many.
Result<Difference> compare(const Elements& a, const Elements& b, double tolerance,
                           const SurveyOptions& options);

}  // namespace torchmap
