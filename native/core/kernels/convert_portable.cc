#define TORCHMAP_TARGET
#include <initializer_list>

#include "core/kernels/convert_loops.h"

namespace torchmap {

const ConvertKernels* convert_portable() { return &kLoops; }

const ConvertKernels& convert_kernels() {
  static const ConvertKernels* const best = [] {
    for (const ConvertKernels* kernels : {convert_avx512(), convert_avx2()})
      if (kernels != nullptr) return kernels;
    return convert_portable();
  }();
  return *best;
}

}  // namespace torchmap
