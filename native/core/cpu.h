// What the processor can do, as far as kernels ask, and the system saves the registers of.
#pragma once

#if defined(__x86_64__) || defined(_M_X64)
#define TORCHMAP_X64 1
#endif

// Functions of one instruction set in a build that does not assume it: GCC and Clang want to be
// told, MSVC takes every intrinsic everywhere.
#if defined(__GNUC__)
#define TORCHMAP_TARGET_OF(sets) __attribute__((target(sets)))
#else
#define TORCHMAP_TARGET_OF(sets)
#endif

namespace torchmap {

struct Cpu {
  bool pclmul = false;      // PCLMULQDQ, SSE4.1
  bool vpclmul256 = false;  // VPCLMULQDQ, AVX2
  bool vpclmul512 = false;  // VPCLMULQDQ, AVX-512F
  bool avx2 = false;        // and F16C
  bool avx512 = false;      // F, BW, DQ and VL
  bool arm_crc32 = false;   // ARMv8's CRC32 instructions
};

// Asked once.
const Cpu& cpu();

}  // namespace torchmap
