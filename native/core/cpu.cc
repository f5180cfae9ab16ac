// Source: Intel SDM volume 2, CPUID leaves 1 and 7, XGETBV; Linux asm/hwcap.h.
#include "core/cpu.h"

#include <cstdint>

#ifdef TORCHMAP_X64
#ifdef _MSC_VER
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#elif defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace torchmap {
namespace {

#ifdef TORCHMAP_X64

struct Registers {
  uint32_t a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(uint32_t leaf) {
  Registers found;
#ifdef _MSC_VER
  int all[4];
  __cpuid(all, 0);
  if (static_cast<uint32_t>(all[0]) < leaf) return found;
  __cpuidex(all, static_cast<int>(leaf), 0);
  found = {static_cast<uint32_t>(all[0]), static_cast<uint32_t>(all[1]),
           static_cast<uint32_t>(all[2]), static_cast<uint32_t>(all[3])};
#else
  __get_cpuid_count(leaf, 0, &found.a, &found.b, &found.c, &found.d);
#endif
  return found;
}

// Which registers the system saves when it changes threads.
uint64_t saved_registers() {
#ifdef _MSC_VER
  return _xgetbv(0);
#else
  uint32_t low = 0, high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
#endif
}

Cpu ask() {
  const auto has = [](uint32_t bits, int bit) { return (bits >> bit & 1) != 0; };
  const Registers one = cpuid(1), seven = cpuid(7);
  const uint64_t saved = has(one.c, 27) ? saved_registers() : 0;  // OSXSAVE
  const bool ymm = (saved & 0x6) == 0x6, zmm = ymm && (saved & 0xE0) == 0xE0;
  Cpu cpu;
  cpu.pclmul = has(one.c, 1) && has(one.c, 19);
  cpu.avx2 = ymm && has(one.c, 28) && has(one.c, 29) && has(seven.b, 5);
  const bool avx512f = zmm && cpu.avx2 && has(seven.b, 16);
  cpu.avx512 = avx512f && has(seven.b, 17) && has(seven.b, 30) && has(seven.b, 31);
  const bool vpclmul = cpu.pclmul && has(seven.c, 10);
  cpu.vpclmul256 = vpclmul && cpu.avx2;
  cpu.vpclmul512 = vpclmul && avx512f;
  return cpu;
}

#else

Cpu ask() {
  Cpu cpu;
#if defined(__aarch64__) && defined(__linux__)
  cpu.arm_crc32 = (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
#elif defined(__aarch64__) && defined(__APPLE__)
  cpu.arm_crc32 = true;  // every arm64 processor of Apple's
#endif
  return cpu;
}

#endif

}  // namespace

const Cpu& cpu() {
  static const Cpu known = ask();
  return known;
}

}  // namespace torchmap
