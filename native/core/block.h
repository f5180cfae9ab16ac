// Memory for tables. A large one gets large pages of its own where the system has them: a table of
// millions of bytes takes longer to be given page after page than to be written.
#pragma once

#include <cstddef>
#include <vector>

namespace torchmap {

// Throws std::bad_alloc.
void* take_block(size_t bytes);
// `bytes` as it was taken with.
void give_block(void* block, size_t bytes) noexcept;
// The same memory with room for `bytes`, of which the first `kept` are as they were; where it
// throws std::bad_alloc, `block` stays as it is.
void* grow_block(void* block, size_t had, size_t kept, size_t bytes);

template <typename T>
struct BlockAllocator {
  using value_type = T;  // NOLINT(readability-identifier-naming): the standard's
  BlockAllocator() = default;
  template <typename U>
  BlockAllocator(const BlockAllocator<U>&) {}  // NOLINT(google-explicit-constructor)
  T* allocate(size_t count) { return static_cast<T*>(take_block(count * sizeof(T))); }
  void deallocate(T* block, size_t count) noexcept { give_block(block, count * sizeof(T)); }
  friend bool operator==(const BlockAllocator&, const BlockAllocator&) { return true; }
};

// Rows that may be many, and have members of their own.
template <typename T>
using Table = std::vector<T, BlockAllocator<T>>;

}  // namespace torchmap
