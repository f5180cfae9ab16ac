// Two lanes in a register: Alder Lake, Zen 3 and later.
#include "core/archive/crc32_kernels.h"

#ifdef TORCHMAP_X64
#define TORCHMAP_TARGET TORCHMAP_TARGET_OF("vpclmulqdq,pclmul,avx2")
#include "core/archive/crc32_fold.h"

namespace torchmap {
namespace {

struct Lanes {
  using Register = __m256i;
  static constexpr bool kSeveralStreams = false;
  TORCHMAP_TARGET static Register load(const std::byte* at) {
    return _mm256_loadu_si256(reinterpret_cast<const Register*>(at));
  }
  TORCHMAP_TARGET static void store(std::byte* at, Register value) {
    _mm256_storeu_si256(reinterpret_cast<Register*>(at), value);
  }
  TORCHMAP_TARGET static Register same(__m128i lane) { return _mm256_broadcastsi128_si256(lane); }
  TORCHMAP_TARGET static Register first(__m128i lane) {
    return _mm256_inserti128_si256(_mm256_setzero_si256(), lane, 0);
  }
  TORCHMAP_TARGET static Register exclusive_or(Register a, Register b) {
    return _mm256_xor_si256(a, b);
  }
  TORCHMAP_TARGET static Register fold(Register lanes, Register by, Register next) {
    const Register low = _mm256_clmulepi64_epi128(lanes, by, 0x00);
    const Register high = _mm256_clmulepi64_epi128(lanes, by, 0x11);
    return _mm256_xor_si256(_mm256_xor_si256(low, next), high);
  }
};

}  // namespace

uint32_t crc32_by_vpclmul256(uint32_t crc, ByteSpan bytes) {
  return Folding<Lanes>::crc(crc, bytes);
}

Crc32Kernel crc32_vpclmul256() { return cpu().vpclmul256 ? crc32_by_vpclmul256 : nullptr; }

}  // namespace torchmap
#else

namespace torchmap {
Crc32Kernel crc32_vpclmul256() { return nullptr; }
}  // namespace torchmap

#endif
