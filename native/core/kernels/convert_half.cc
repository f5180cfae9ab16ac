// The loops are plain: compilers make vectors of them, and more of them where a function may use
// AVX2. Not F16C, whose conversion makes signalling NaNs quiet where these keep every bit.
#include "core/kernels/convert_half.h"

#include <cstring>

#include "core/kernels/half.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define TORCHMAP_AVX2 1
#endif

namespace torchmap {
namespace {

using Convert = void (*)(const std::byte*, uint64_t, float*);

#if defined(__GNUC__)
#define TORCHMAP_INLINE inline __attribute__((always_inline))
#else
#define TORCHMAP_INLINE inline
#endif

TORCHMAP_INLINE uint16_t unit(const std::byte* source, uint64_t i) {
  uint16_t value;
  std::memcpy(&value, source + 2 * i, sizeof(value));
  return value;
}

TORCHMAP_INLINE void halves(const std::byte* source, uint64_t count, float* target) {
  for (uint64_t i = 0; i < count; ++i) target[i] = half_to_float(unit(source, i));
}

TORCHMAP_INLINE void bfloat16s(const std::byte* source, uint64_t count, float* target) {
  for (uint64_t i = 0; i < count; ++i) target[i] = bfloat16_to_float(unit(source, i));
}

void halves_portable(const std::byte* source, uint64_t count, float* target) {
  halves(source, count, target);
}
void bfloat16s_portable(const std::byte* source, uint64_t count, float* target) {
  bfloat16s(source, count, target);
}

#ifdef TORCHMAP_AVX2
__attribute__((target("avx2"))) void halves_avx2(const std::byte* source, uint64_t count,
                                                 float* target) {
  halves(source, count, target);
}
__attribute__((target("avx2"))) void bfloat16s_avx2(const std::byte* source, uint64_t count,
                                                    float* target) {
  bfloat16s(source, count, target);
}
#endif

Convert choose([[maybe_unused]] Convert wide, Convert portable) {
#ifdef TORCHMAP_AVX2
  if (__builtin_cpu_supports("avx2") != 0) return wide;
#endif
  return portable;
}

}  // namespace

#ifndef TORCHMAP_AVX2
constexpr Convert halves_avx2 = nullptr, bfloat16s_avx2 = nullptr;
#endif

void halves_to_float32(const std::byte* source, uint64_t count, float* target) {
  static const Convert convert = choose(halves_avx2, halves_portable);
  convert(source, count, target);
}

void bfloat16s_to_float32(const std::byte* source, uint64_t count, float* target) {
  static const Convert convert = choose(bfloat16s_avx2, bfloat16s_portable);
  convert(source, count, target);
}

}  // namespace torchmap
