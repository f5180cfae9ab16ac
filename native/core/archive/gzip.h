// Deflated bytes with headers around them: gzip (RFC 1952), of one member or several, and zlib
// (RFC 1950).
#pragma once

#include "core/archive/unpacking.h"

namespace torchmap {

// Puts what they become behind what there is and goes on to where they end, which for gzip is where
// no other member begins. kTruncated, kBadRecord, kChecksumMismatch; fails as reading does, and
// where there is no room. What came out before stays.
Status unpack_gzip(Feed& feed, Unpacked& out);
Status unpack_zlib(Feed& feed, Unpacked& out);
// Without headers, as 7-Zip stores them.
Status unpack_deflate(Feed& feed, Unpacked& out);

// Adler-32 of what `adler` is the one of (1 of nothing), followed by `bytes` (RFC 1950, section 8).
uint32_t adler32(uint32_t adler, ByteSpan bytes);

}  // namespace torchmap
