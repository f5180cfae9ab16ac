// The ways in which crc32() can go. All give the same; they are named here for it and its tests.
#pragma once

#include "core/bytes.h"
#include "core/cpu.h"

namespace torchmap {

using Crc32Kernel = uint32_t (*)(uint32_t crc, ByteSpan bytes);

// Tables only.
uint32_t crc32_portable(uint32_t crc, ByteSpan bytes);

// x86 with PCLMULQDQ and SSE4.1; null where the processor or the build has none.
Crc32Kernel crc32_pclmul();

// x86 with VPCLMULQDQ, on registers of 256 (AVX2) and 512 (AVX-512F) bits; null likewise.
Crc32Kernel crc32_vpclmul256();
Crc32Kernel crc32_vpclmul512();

// ARMv8 with the CRC32 instructions; null likewise.
Crc32Kernel crc32_armv8();

#ifdef TORCHMAP_X64
// What the two above point to, for a test that runs them where the processor cannot.
uint32_t crc32_by_vpclmul256(uint32_t crc, ByteSpan bytes);
uint32_t crc32_by_vpclmul512(uint32_t crc, ByteSpan bytes);
#endif

}  // namespace torchmap
