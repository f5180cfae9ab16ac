// LZMA and LZMA2, as .lzma, .xz and .7z files have them. Facts: the LZMA specification (draft) and
// LzmaDec.c and Lzma2Dec.c of Igor Pavlov's LZMA SDK.
#pragma once

#include "core/archive/unpacking.h"

namespace torchmap {

// Bits of the place and of the byte before that choose how the next byte is read. More than four of
// both together are refused, as by liblzma, with which Python reads.
struct LzmaProperties {
  unsigned literal_context = 3, literal_place = 0, place = 2;
  uint32_t dictionary = 0;  // bytes that distances lead back at most; 4096 where it is less
};

// Of the byte that has the first three.
Result<LzmaProperties> lzma_properties(unsigned byte, uint32_t dictionary);

// Each puts what comes out behind what `out` has, and goes on to where the stream ends. kTruncated,
// kBadRecord, kUnsupportedCompression; fails as reading does, and where there is no room. What came
// out before stays. `size`, where it is known: so many bytes come out.
Status unpack_lzma(Feed& feed, const LzmaProperties& properties, std::optional<uint64_t> size,
                   Unpacked& out);
// `size` is one byte, which says how far distances lead back.
Status unpack_lzma2(Feed& feed, unsigned size, Unpacked& out);

// A file of LZMA alone: properties, size, stream. It has no magic bytes, but few numbers are
// likely.
bool looks_like_lzma(ByteSpan head);
Status unpack_lzma_file(Feed& feed, Unpacked& out);

}  // namespace torchmap
