#include "core/archive/unpacking.h"

#include <algorithm>

namespace torchmap {
namespace {

// Bytes that are given at a time, so that who asks to stop is heard soon.
constexpr size_t kRoomAtOnce = size_t{1} << 20;

}  // namespace

Feed::Feed(Source& source, uint64_t begin, uint64_t end)
    : source_(source), end_(end), position_(begin), seen_(source.held()) {}

Result<ByteSpan> Feed::ahead(size_t count) {
  const auto wanted = static_cast<size_t>(std::min<uint64_t>(count, left()));
  const bool is_seen = position_ >= seen_at_ && fits(position_ - seen_at_, wanted, seen_.size());
  if (!is_seen) {
    const auto length = static_cast<size_t>(std::min<uint64_t>(kMostAhead, left()));
    room_.resize(length);
    TRY(source_.read(position_, room_));
    seen_ = room_;
    seen_at_ = position_;
  }
  const ByteSpan from = seen_.subspan(static_cast<size_t>(position_ - seen_at_));
  return from.first(static_cast<size_t>(std::min<uint64_t>(from.size(), left())));
}

Result<size_t> Feed::read(std::span<std::byte> target) {
  const size_t wanted = std::min(target.size(), kMostAhead);
  TRY_ASSIGN(const ByteSpan bytes, ahead(wanted));
  const size_t count = std::min(wanted, bytes.size());
  if (count > 0) std::memcpy(target.data(), bytes.data(), count);
  skip(count);
  return count;
}

Result<ByteSpan> Feed::take(size_t count) {
  TRY_ASSIGN(const ByteSpan bytes, ahead(count));
  if (bytes.size() < count) return Status(Code::kTruncated, "the compressed bytes end early");
  skip(count);
  return bytes.first(count);
}

Status Feed::pass(size_t count) {
  TRY_ASSIGN([[maybe_unused]] const ByteSpan passed, take(count));
  return {};
}

Status Unpacked::stopped() const {
  if (cancelled_ != nullptr && cancelled_->load(std::memory_order_relaxed))
    return Status(Code::kCancelled, "the caller asked to stop");
  return {};
}

Result<std::span<std::byte>> Unpacked::room() {
  TRY(stopped());
  if (size() >= most_) return limit_reached(Code::kLimitStorage, "inflatedBytes", most_, most_ + 1);
  const size_t left = static_cast<size_t>(std::min<uint64_t>(most_ - size(), kRoomAtOnce));
  // What there is doubles, at most.
  if (bytes_.room() == 0)
    bytes_.make_room(static_cast<size_t>(
        std::min<uint64_t>(most_ - size(), std::max<uint64_t>(size(), size_t{1} << 12))));
  return std::span(bytes_.data() + size(), std::min(left, bytes_.room()));
}

Status Unpacked::append(ByteSpan bytes) {
  while (!bytes.empty()) {
    TRY_ASSIGN(const std::span<std::byte> target, room());
    const size_t count = std::min(bytes.size(), target.size());
    std::memcpy(target.data(), bytes.data(), count);
    fill(count);
    bytes = bytes.subspan(count);
  }
  return {};
}

}  // namespace torchmap
