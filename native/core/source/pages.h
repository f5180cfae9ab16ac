// A range of a file for reading once, where the system keeps it instead of in a copy.
#pragma once

#include "core/bytes.h"

namespace torchmap {

class FileHandle;

class Pages {
 public:
  // No pages at all: everything has to be read.
  Pages() = default;
  // Memory that is there as it is, and outlives the object.
  explicit Pages(ByteSpan memory) : bytes_(memory) {}
  // Bytes [offset, offset + length) of `file`, which outlives the object, as the file has them now.
  // No pages where the system does not map them, or cannot be asked to bring them in.
  Pages(const FileHandle& file, uint64_t offset, uint64_t length);
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  ~Pages();

  // Bytes [at, at + length) of the range, brought into memory. Empty where they are not to be had
  // this way, whether the file has become another or cannot be read: reading tells why.
  // As with every mapping, the process is killed when the file loses them while they are looked at;
  // so the caller asks for as much as it looks at in a moment.
  ByteSpan present(uint64_t at, uint64_t length) const;

  bool empty() const { return bytes_.empty(); }

 private:
  // Unused on systems without.
  [[maybe_unused]] const FileHandle* file_ = nullptr;
  ByteSpan bytes_;
  [[maybe_unused]] ByteSpan mapping_;  // with what lies before and behind in the outermost pages
};

}  // namespace torchmap
