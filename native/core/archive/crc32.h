// CRC-32 as zip has it: polynomial 0xEDB88320, reflected, inverted before and after (APPNOTE 4.4.7).
#pragma once

#include "core/bytes.h"

namespace torchmap {

// The CRC of what `crc` is the CRC of (0 of nothing), followed by `bytes`.
uint32_t crc32(uint32_t crc, ByteSpan bytes);

}  // namespace torchmap
