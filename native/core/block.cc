#include "core/block.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
#include <sys/mman.h>
#ifdef MADV_HUGEPAGE
#define TORCHMAP_LARGE_PAGES
#endif
#endif

namespace torchmap {
namespace {

#ifdef TORCHMAP_LARGE_PAGES

// Of x86-64, and of ARM64 with pages of 4 KiB. A block has whole ones, so that none is shared.
constexpr size_t kLargePage = size_t{2} << 20;

bool is_large(size_t bytes) { return bytes >= kLargePage; }

size_t whole_pages(size_t bytes) { return (bytes + kLargePage - 1) & ~(kLargePage - 1); }

void* take_large(size_t bytes) {
  if (bytes > SIZE_MAX / 2) throw std::bad_alloc();
  const size_t size = whole_pages(bytes), most = size + kLargePage;
  void* const given =
      mmap(nullptr, most, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (given == MAP_FAILED) throw std::bad_alloc();
  const auto begin = reinterpret_cast<uintptr_t>(given);
  const size_t before = whole_pages(begin) - begin;
  char* const block = static_cast<char*>(given) + before;
  if (before > 0) munmap(given, before);
  if (before < kLargePage) munmap(block + size, kLargePage - before);
  // It is advice: a kernel without large pages refuses, and nothing is lost.
  static_cast<void>(madvise(block, size, MADV_HUGEPAGE));
  return block;
}

void give_large(void* block, size_t bytes) noexcept { munmap(block, whole_pages(bytes)); }

#else

bool is_large(size_t) { return false; }
void* take_large(size_t) { throw std::bad_alloc(); }
void give_large(void*, size_t) noexcept {}

#endif

}  // namespace

void* take_block(size_t bytes) {
  if (is_large(bytes)) return take_large(bytes);
  void* const block = std::malloc(bytes);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}

void give_block(void* block, size_t bytes) noexcept {
  if (is_large(bytes)) {
    give_large(block, bytes);
  } else {
    std::free(block);
  }
}

void* grow_block(void* block, size_t had, size_t kept, size_t bytes) {
  if (!is_large(had) && !is_large(bytes)) {
    void* const grown = std::realloc(block, bytes);
    if (grown == nullptr) throw std::bad_alloc();
    return grown;
  }
  void* const grown = take_block(bytes);
  if (kept > 0) std::memcpy(grown, block, kept);
  if (block != nullptr) give_block(block, had);
  return grown;
}

}  // namespace torchmap
