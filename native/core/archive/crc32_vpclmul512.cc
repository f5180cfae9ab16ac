// Four lanes in a register: Ice Lake, Zen 4 and later.
#include "core/archive/crc32_kernels.h"

#ifdef TORCHMAP_X64
#define TORCHMAP_TARGET TORCHMAP_TARGET_OF("vpclmulqdq,pclmul,avx512f")
#include "core/archive/crc32_fold.h"

namespace torchmap {
namespace {

struct Lanes {
  using Register = __m512i;
  static constexpr bool kSeveralStreams = false;
  TORCHMAP_TARGET static Register load(const std::byte* at) {
    return _mm512_loadu_si512(reinterpret_cast<const Register*>(at));
  }
  TORCHMAP_TARGET static void store(std::byte* at, Register value) {
    _mm512_storeu_si512(reinterpret_cast<Register*>(at), value);
  }
  TORCHMAP_TARGET static Register same(__m128i lane) { return _mm512_broadcast_i32x4(lane); }
  TORCHMAP_TARGET static Register first(__m128i lane) {
    return _mm512_inserti32x4(_mm512_setzero_si512(), lane, 0);
  }
  TORCHMAP_TARGET static Register exclusive_or(Register a, Register b) {
    return _mm512_xor_si512(a, b);
  }
  TORCHMAP_TARGET static Register fold(Register lanes, Register by, Register next) {
    const Register low = _mm512_clmulepi64_epi128(lanes, by, 0x00);
    const Register high = _mm512_clmulepi64_epi128(lanes, by, 0x11);
    return _mm512_ternarylogic_epi64(low, high, next, 0x96);  // exclusive or of three
  }
};

}  // namespace

uint32_t crc32_by_vpclmul512(uint32_t crc, ByteSpan bytes) {
  return Folding<Lanes>::crc(crc, bytes);
}

Crc32Kernel crc32_vpclmul512() { return cpu().vpclmul512 ? crc32_by_vpclmul512 : nullptr; }

}  // namespace torchmap
#else

namespace torchmap {
Crc32Kernel crc32_vpclmul512() { return nullptr; }
}  // namespace torchmap

#endif
