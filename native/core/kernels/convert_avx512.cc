#include "core/cpu.h"
#include "core/kernels/convert_kernels.h"

// MSVC makes no vectors of its own for instructions the build does not assume.
#if defined(TORCHMAP_X64) && defined(__GNUC__)
#include <immintrin.h>
#define TORCHMAP_F16C 1
#define TORCHMAP_TARGET TORCHMAP_TARGET_OF("avx512f,avx512bw,avx512dq,avx512vl,f16c")
#include "core/kernels/convert_loops.h"

namespace torchmap {
const ConvertKernels* convert_avx512() { return cpu().avx512 ? &kLoops : nullptr; }
}  // namespace torchmap
#else

namespace torchmap {
const ConvertKernels* convert_avx512() { return nullptr; }
}  // namespace torchmap

#endif
