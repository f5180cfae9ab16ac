#include "core/source/ranges.h"

namespace torchmap {

Status not_loaded(const RangesSource::Range& range) {
  Status status = Status(Code::kNotLoaded, std::to_string(range.length) + " bytes at byte " +
                                               std::to_string(range.offset) + " are not here yet")
                      .at(range.offset);
  status.failure().limit = range.length;
  return status;
}

RangesSource::RangesSource(uint64_t size) { identity_.size = size; }

Status RangesSource::supply(uint64_t offset, ByteSpan bytes) {
  TRY(check_range(offset, bytes.size()));
  pieces_.push_back({offset, std::string(as_text(bytes))});
  return {};
}

Result<ByteSpan> RangesSource::view(uint64_t offset, uint64_t length) {
  TRY(check_range(offset, length));
  for (const Piece& piece : pieces_) {
    if (offset < piece.offset || !fits(offset - piece.offset, length, piece.bytes.size())) continue;
    return as_bytes(piece.bytes).subspan(offset - piece.offset, length);
  }
  const Range range{offset, length};
  if (!missing_) missing_ = range;
  return not_loaded(range);
}

Status RangesSource::read(uint64_t offset, std::span<std::byte> target) {
  TRY_ASSIGN(const ByteSpan bytes, view(offset, target.size()));
  if (!target.empty()) std::memcpy(target.data(), bytes.data(), target.size());
  return {};
}

std::optional<RangesSource::Range> RangesSource::take_missing() {
  return std::exchange(missing_, std::nullopt);
}

}  // namespace torchmap
