// The ways in which crc32() can go. All give the same; they are named here for it and its tests.
#pragma once

#include "core/bytes.h"

namespace torchmap {

using Crc32Kernel = uint32_t (*)(uint32_t crc, ByteSpan bytes);

// Tables only.
uint32_t crc32_portable(uint32_t crc, ByteSpan bytes);

// x86 with PCLMULQDQ and SSE4.1; null where the processor or the build has none.
Crc32Kernel crc32_pclmul();

// ARMv8 with the CRC32 instructions; null likewise.
Crc32Kernel crc32_armv8();

}  // namespace torchmap
