// CRC-32 as zip has it: polynomial 0xEDB88320, reflected, inverted before and after
// (APPNOTE 4.4.7). Computed by the fastest instructions the processor has.
#pragma once

#include "core/bytes.h"

namespace torchmap {

// The CRC of what `crc` is the CRC of (0 of nothing), followed by `bytes`.
uint32_t crc32(uint32_t crc, ByteSpan bytes);

// The CRC of two runs of bytes one behind the other, of the CRC of each and the length of the
// second.
uint32_t crc32_combine(uint32_t first, uint32_t second, uint64_t second_length);

}  // namespace torchmap
