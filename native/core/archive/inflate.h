// Deflated bytes (RFC 1951), without headers around them, as zip stores them.
#pragma once

#include "core/bytes.h"
#include "core/status.h"

namespace torchmap {

// Deflate turns one byte into at most this many: 258 bytes for two bits, less headers.
constexpr uint64_t kMostInflated = 1032;

// Whether so many deflated bytes can become so many. Asked before memory is taken for these.
inline bool can_inflate_to(uint64_t deflated, uint64_t size) {
  return size <= checked_mul(deflated, kMostInflated).value_or(UINT64_MAX);
}

struct Inflated {
  uint64_t bytes = 0;  // that were written
  bool ended = false;  // the stream, and not only the room for it
  uint64_t used = 0;   // deflated bytes up to its end, where it ended
};

// Inflates as much as `target` has room for. kBadRecord where the stream is not one or ends early.
Result<Inflated> inflate(ByteSpan deflated, std::span<std::byte> target);
// The same; `done` also has what came before a break.
Status inflate(ByteSpan deflated, std::span<std::byte> target, Inflated& done);

// Deflated bytes that come one part after another, and those that they become.
class InflateStream {
 public:
  virtual ~InflateStream() = default;
  // Puts the next deflated bytes to the target and gives their number; 0 at the end.
  virtual Result<size_t> read(std::span<std::byte> target) = 0;
  // Is given what they become, in order; false where nothing more is wanted.
  virtual Result<bool> take(ByteSpan inflated) = 0;
};

// The same in memory that does not grow with the stream, from its first byte to its end or up to
// where no more is wanted; also fails as reading and taking do. What comes before a break is given.
Result<Inflated> inflate(InflateStream& stream);

}  // namespace torchmap
