// Memory that nothing was written to yet costs more than what is done to it: the system clears and
// maps page after page when they are first written.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

namespace torchmap {

// Says that all of `target` will be written, so that the system may use large pages for it where
// it has none yet. Changes no byte, and nothing at all where it is small or the system cannot.
void expect_writes(std::span<std::byte> target);

// Memory of zeros for many targets, in large pages where the system has them: asked for one by one,
// most targets would be too small for those.
class FreshPages {
 public:
  // Null when there is not so much.
  static std::shared_ptr<FreshPages> allocate(size_t bytes);

  FreshPages(const FreshPages&) = delete;
  FreshPages& operator=(const FreshPages&) = delete;
  ~FreshPages();

  std::span<std::byte> bytes() const { return bytes_; }

 private:
  explicit FreshPages(std::span<std::byte> bytes) : bytes_(bytes) {}
  std::span<std::byte> bytes_;
};

}  // namespace torchmap
