// Bytes of an object that is elsewhere, as far as they were brought here.
#pragma once

#include <deque>
#include <optional>
#include <string>

#include "core/source/source.h"

namespace torchmap {

class RangesSource final : public Source {
 public:
  struct Range {
    uint64_t offset = 0, length = 0;  // bytes
  };

  explicit RangesSource(uint64_t size);

  // Keeps a copy of bytes of the object, which begin at `offset`. kTruncated when they do not lie
  // in it. Not while another thread uses the source.
  Status supply(uint64_t offset, ByteSpan bytes);

  // kNotLoaded, about a range that no single piece has that was supplied.
  Result<ByteSpan> view(uint64_t offset, uint64_t length) override;
  Status read(uint64_t offset, std::span<std::byte> target) override;

  // The first range that was asked for and was not there, since this was called last: some failures
  // are taken for an answer on the way.
  std::optional<Range> take_missing();

 private:
  struct Piece {
    uint64_t offset;
    std::string bytes;
  };
  std::deque<Piece> pieces_;  // none moves: views stay where they are
  std::optional<Range> missing_;
};

// kNotLoaded: `offset` is where the bytes begin, `limit` how many they are.
Status not_loaded(const RangesSource::Range& range);

}  // namespace torchmap
