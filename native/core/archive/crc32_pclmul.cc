// One lane in a register: every x86 processor since 2010.
#include "core/archive/crc32_kernels.h"

#ifdef TORCHMAP_X64
#define TORCHMAP_TARGET TORCHMAP_TARGET_OF("pclmul,sse4.1")
#include "core/archive/crc32_fold.h"

namespace torchmap {
namespace {

struct Lane {
  using Register = __m128i;
  static constexpr bool kSeveralStreams = true;
  TORCHMAP_TARGET static Register load(const std::byte* at) { return load_lane(at); }
  TORCHMAP_TARGET static void store(std::byte* at, Register value) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(at), value);
  }
  TORCHMAP_TARGET static Register same(__m128i lane) { return lane; }
  TORCHMAP_TARGET static Register first(__m128i lane) { return lane; }
  TORCHMAP_TARGET static Register exclusive_or(Register a, Register b) {
    return _mm_xor_si128(a, b);
  }
  TORCHMAP_TARGET static Register fold(Register lane, Register by, Register next) {
    return fold_lane(lane, by, next);
  }
};

}  // namespace

Crc32Kernel crc32_pclmul() { return cpu().pclmul ? Folding<Lane>::crc : nullptr; }

}  // namespace torchmap
#else

namespace torchmap {
Crc32Kernel crc32_pclmul() { return nullptr; }
}  // namespace torchmap

#endif
