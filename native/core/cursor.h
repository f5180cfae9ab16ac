// A bounds-checked little-endian reader over bytes. A failed read leaves the cursor where it was.
#pragma once

#include "core/bytes.h"

namespace torchmap {

class Cursor {
 public:
  explicit Cursor(ByteSpan bytes) : bytes_(bytes) {}

  size_t position() const { return position_; }
  size_t remaining() const { return bytes_.size() - position_; }

  // The next `count` bytes, or nothing when fewer are left.
  std::optional<ByteSpan> take(uint64_t count) {
    if (count > remaining()) return std::nullopt;
    ByteSpan taken = bytes_.subspan(position_, static_cast<size_t>(count));
    position_ += static_cast<size_t>(count);
    return taken;
  }

  template <typename T>
  std::optional<T> read() {
    if (sizeof(T) > remaining()) return std::nullopt;
    T value = load_le<T>(bytes_.data() + position_);
    position_ += sizeof(T);
    return value;
  }

 private:
  ByteSpan bytes_;
  size_t position_ = 0;
};

}  // namespace torchmap
