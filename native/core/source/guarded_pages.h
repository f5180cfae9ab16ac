// Pages of a file that are looked at without fear: where the file has lost one, because it was made
// shorter or because the device failed, the process is not killed (SIGBUS).
#pragma once

#include <optional>
#include <utility>

#include "core/bytes.h"

namespace torchmap {

class FileHandle;

class GuardedPages {
 public:
  // Bytes [offset, offset + length) of `file`, some and all inside it as it was when opened.
  // Nothing where this is not to be had: the system does not offer it or refuses, or the process
  // handles SIGBUS in a way that does not leave room for it.
  //
  // As long as there are some, the process has a handler of SIGBUS that passes on what is not about
  // such pages to the one that was there before.
  static std::optional<GuardedPages> map(const FileHandle& file, uint64_t offset, uint64_t length);

  GuardedPages(GuardedPages&& other) noexcept
      : pages_(std::exchange(other.pages_, {})), skipped_(other.skipped_), slot_(other.slot_) {}
  GuardedPages& operator=(GuardedPages&& other) noexcept {
    std::swap(pages_, other.pages_);
    std::swap(skipped_, other.skipped_);
    std::swap(slot_, other.slot_);
    return *this;
  }
  ~GuardedPages();

  // What the file holds now, by any number of threads.
  ByteSpan bytes() const { return pages_.subspan(skipped_); }

  // Whether a page was missing when somebody looked at it. From then on it and those behind it hold
  // zeros, also for who looks at them meanwhile: ask behind every look.
  bool lost() const;

 private:
  GuardedPages(ByteSpan pages, size_t skipped, size_t slot)
      : pages_(pages), skipped_(skipped), slot_(slot) {}

  ByteSpan pages_;  // from the start of a page
  size_t skipped_;  // bytes in front of those that were asked for
  size_t slot_;     // of the table the handler looks at
};

}  // namespace torchmap
