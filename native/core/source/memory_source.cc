#include "core/source/source.h"

namespace torchmap {

namespace {

Status released_failure() {
  return Status(Code::kClosed, "the bytes this checkpoint was opened from were given back");
}

}  // namespace

MemorySource::MemorySource(ByteSpan bytes) : bytes_(bytes) { identity_.size = bytes.size(); }

Result<ByteSpan> MemorySource::view(uint64_t offset, uint64_t length) {
  if (released_) return released_failure();
  TRY(check_range(offset, length));
  return copies_.get(offset, length,
                     [&](std::span<std::byte> target) { return read(offset, target); });
}

Status MemorySource::read(uint64_t offset, std::span<std::byte> target) {
  if (released_) return released_failure();
  TRY(check_range(offset, target.size()));
  if (!target.empty()) std::memcpy(target.data(), bytes_.data() + offset, target.size());
  return {};
}

void MemorySource::release() {
  released_ = true;
  bytes_ = {};
}

std::shared_ptr<MemorySource> open_memory(ByteSpan bytes) {
  return std::make_shared<MemorySource>(bytes);
}

}  // namespace torchmap
