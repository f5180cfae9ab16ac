// Files of xz: streams of blocks of LZMA2, each block with a checksum, and an index behind them.
// Facts: "The .xz File Format" 1.2.1.
#pragma once

#include "core/archive/unpacking.h"

namespace torchmap {

// Puts what comes out behind what there is, and goes on to where no other stream begins.
// kTruncated, kBadRecord, kChecksumMismatch, kUnsupportedCompression; fails as reading does, and
// where there is no room. What came out before stays. SHA-256 is not compared.
Status unpack_xz(Feed& feed, Unpacked& out);

}  // namespace torchmap
