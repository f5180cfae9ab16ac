// Bytes of a file that were read, at the place where they stand in it.
#pragma once

#include "core/source/source.h"

namespace torchmap {

class Block final : public Source {
 public:
  // `bytes` of the file, from its byte `start` on; they outlive this.
  Block(uint64_t start, ByteSpan bytes) : start_(start), bytes_(bytes) {
    identity_.size = start + bytes.size();
  }

  Result<ByteSpan> view(uint64_t offset, uint64_t length) override {
    TRY(check_range(offset, length));
    if (offset < start_) return Status(Code::kTruncated, "bytes in front of those that were read");
    return bytes_.subspan(static_cast<size_t>(offset - start_), static_cast<size_t>(length));
  }

  Status read(uint64_t offset, std::span<std::byte> target) override {
    TRY_ASSIGN(const ByteSpan bytes, view(offset, target.size()));
    std::memcpy(target.data(), bytes.data(), bytes.size());
    return {};
  }

 private:
  const uint64_t start_;
  const ByteSpan bytes_;
};

}  // namespace torchmap
