#include "core/cpu.h"
#include "core/kernels/statistics_kernels.h"

// MSVC makes no vectors of its own for instructions the build does not assume.
#if defined(TORCHMAP_X64) && defined(__GNUC__)
#define TORCHMAP_TARGET TORCHMAP_TARGET_OF("avx512f,avx512bw,avx512dq,avx512vl,f16c")
#include "core/kernels/statistics_loops.h"

namespace torchmap {
const StatisticsKernels* statistics_avx512() { return cpu().avx512 ? &kLoops : nullptr; }
}  // namespace torchmap
#else

namespace torchmap {
const StatisticsKernels* statistics_avx512() { return nullptr; }
}  // namespace torchmap

#endif
