// Deflated bytes (RFC 1951), all of which are there. Without headers around them, as zip stores
// them.
#pragma once

#include "core/bytes.h"
#include "core/status.h"

namespace torchmap {

// Deflate turns one byte into at most this many: 258 bytes for two bits, less headers.
constexpr uint64_t kMostInflated = 1032;

struct Inflated {
  size_t bytes = 0;    // that were written
  bool ended = false;  // the stream, and not only the room for it
};

// Inflates as much as `target` has room for. kBadRecord where the stream is not one or ends early.
Result<Inflated> inflate(ByteSpan deflated, std::span<std::byte> target);

}  // namespace torchmap
