// Folding by carry-less multiplication: eight lanes of 16 bytes, each multiplied by the power of x
// that moves it 128 bytes on, until one lane is left, which the tables finish.
// Source: Gopal et al., Fast CRC Computation for Generic Polynomials Using PCLMULQDQ (Intel 2009).
#include "core/archive/crc32_kernels.h"

#if defined(__x86_64__) || defined(_M_X64)
#define TORCHMAP_PCLMUL 1
#ifdef _MSC_VER
#include <intrin.h>
#define TORCHMAP_TARGET
#else
#define TORCHMAP_TARGET __attribute__((target("pclmul,sse4.1")))
#endif
#include <immintrin.h>
#endif

namespace torchmap {

#ifdef TORCHMAP_PCLMUL
namespace {

constexpr size_t kLane = 16, kLanes = 8, kStep = kLane * kLanes;

// x^(8n+32) and x^(8n-32) modulo the polynomial, reflected and one bit up, for n = 128 and n = 16.
constexpr long long kBy128[] = {0x1e88ef372, 0x14a7fe880};
constexpr long long kBy16[] = {0x1751997d0, 0x0ccaa009e};

TORCHMAP_TARGET inline __m128i load(const std::byte* at) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
}

TORCHMAP_TARGET inline __m128i fold(__m128i lane, __m128i powers, __m128i next) {
  const __m128i low = _mm_clmulepi64_si128(lane, powers, 0x00);
  const __m128i high = _mm_clmulepi64_si128(lane, powers, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

TORCHMAP_TARGET uint32_t folded(uint32_t crc, ByteSpan bytes) {
  const std::byte* at = bytes.data();
  size_t left = bytes.size();
  if (left < kStep) return crc32_portable(crc, bytes);
  const __m128i by_128 = _mm_set_epi64x(kBy128[1], kBy128[0]);
  const __m128i by_16 = _mm_set_epi64x(kBy16[1], kBy16[0]);

  __m128i lanes[kLanes];
  for (size_t i = 0; i < kLanes; ++i) lanes[i] = load(at + i * kLane);
  lanes[0] = _mm_xor_si128(lanes[0], _mm_cvtsi32_si128(static_cast<int>(~crc)));
  for (at += kStep, left -= kStep; left >= kStep; at += kStep, left -= kStep) {
    for (size_t i = 0; i < kLanes; ++i) lanes[i] = fold(lanes[i], by_128, load(at + i * kLane));
  }
  __m128i all = lanes[0];
  for (size_t i = 1; i < kLanes; ++i) all = fold(all, by_16, lanes[i]);
  for (; left >= kLane; at += kLane, left -= kLane) all = fold(all, by_16, load(at));

  std::byte rest[kLane];
  _mm_storeu_si128(reinterpret_cast<__m128i*>(rest), all);
  // The lane has the first bytes' inversion in it, so none is added.
  return crc32_portable(crc32_portable(~0u, rest), {at, left});
}

bool is_supported() {
#ifdef _MSC_VER
  int registers[4];
  __cpuid(registers, 1);
  constexpr int kPclmulqdq = 1 << 1, kSse41 = 1 << 19;  // of ECX
  return (registers[2] & kPclmulqdq) != 0 && (registers[2] & kSse41) != 0;
#else
  return __builtin_cpu_supports("pclmul") != 0 && __builtin_cpu_supports("sse4.1") != 0;
#endif
}

}  // namespace

Crc32Kernel crc32_pclmul() { return is_supported() ? folded : nullptr; }

#else

Crc32Kernel crc32_pclmul() { return nullptr; }

#endif

}  // namespace torchmap
