#define TORCHMAP_TARGET
#include <initializer_list>

#include "core/kernels/statistics_loops.h"

namespace torchmap {

const StatisticsKernels* statistics_portable() { return &kLoops; }

const StatisticsKernels& statistics_kernels() {
  static const StatisticsKernels* const best = [] {
    for (const StatisticsKernels* kernels : {statistics_avx512(), statistics_avx2()})
      if (kernels != nullptr) return kernels;
    return statistics_portable();
  }();
  return *best;
}

}  // namespace torchmap
