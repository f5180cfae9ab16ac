// What all decoders of compressed bytes take and give: bytes of a source, brought in as they are
// wanted, and memory that grows by what really comes out, whatever a header claims.
#pragma once

#include <atomic>
#include <vector>

#include "core/bytes.h"
#include "core/pickle/buffer.h"
#include "core/source/source.h"

namespace torchmap {

// Bytes [begin, end) of a source from one place on; the source outlives it.
class Feed {
 public:
  Feed(Source& source, uint64_t begin, uint64_t end);
  Feed(const Feed&) = delete;
  Feed& operator=(const Feed&) = delete;

  // Bytes from the start of the source.
  uint64_t position() const { return position_; }
  uint64_t end() const { return end_; }
  uint64_t left() const { return end_ - position_; }
  // To a place between `begin` and `end`.
  void seek(uint64_t position) { position_ = position; }
  void skip(uint64_t count) { position_ += count; }

  // The next bytes, without going on: `count` at least, or all that are left. Valid until the next
  // call. `count` is at most kMostAhead.
  Result<ByteSpan> ahead(size_t count);
  // Copies the next ones and goes on; gives how many there were.
  Result<size_t> read(std::span<std::byte> target);
  // The next `count`, kTruncated where fewer are left; goes on.
  Result<ByteSpan> take(size_t count);
  Status pass(size_t count);
  // Ends elsewhere from now on.
  void end_at(uint64_t end) { end_ = end; }

  static constexpr size_t kMostAhead = size_t{1} << 16;

 private:
  Source& source_;
  uint64_t end_;
  uint64_t position_;
  ByteSpan seen_;  // bytes of the source from seen_at_ on
  uint64_t seen_at_ = 0;
  std::vector<std::byte> room_;
};

// What came out so far. Stays when what follows is broken.
class Unpacked {
 public:
  // No more than `most` bytes come out.
  explicit Unpacked(uint64_t most, const std::atomic<bool>* cancelled = nullptr)
      : most_(most), cancelled_(cancelled) {}

  ByteSpan bytes() const { return bytes_.span(0, bytes_.size()); }
  size_t size() const { return bytes_.size(); }
  // Those from one place on, to be changed.
  std::span<std::byte> from(size_t begin) { return {bytes_.data() + begin, size() - begin}; }

  // Places behind what there is, one at least, some more each time. kLimitStorage where there are
  // `most` bytes, kCancelled.
  Result<std::span<std::byte>> room();
  // So many of them are filled.
  void fill(size_t count) { bytes_.extend(count); }
  Status append(ByteSpan bytes);
  Status stopped() const;

 private:
  const uint64_t most_;
  const std::atomic<bool>* const cancelled_;
  Buffer<std::byte> bytes_;
};

}  // namespace torchmap
