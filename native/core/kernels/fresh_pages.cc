#include "core/kernels/fresh_pages.h"

#include <cstdint>
#include <cstdlib>

#ifndef _WIN32
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace torchmap {

// Whole small pages, because neighbours with the same advice stay one entry of the system's table,
// of which a process has not many (65,530, vm.max_map_count).
void expect_writes([[maybe_unused]] std::span<std::byte> target) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr size_t kWorthwhile = size_t{4} << 20;
  if (target.size() < kWorthwhile) return;
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto first = reinterpret_cast<uintptr_t>(target.data()) & ~(page - 1);
  const auto end = reinterpret_cast<uintptr_t>(target.data() + target.size());
  // It is advice: a kernel without large pages refuses, and nothing is lost.
  static_cast<void>(madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE));
#endif
}

std::shared_ptr<FreshPages> FreshPages::allocate(size_t bytes) {
  if (bytes == 0) return nullptr;
#ifdef _WIN32
  void* memory = std::calloc(bytes, 1);
  if (memory == nullptr) return nullptr;
#else
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
#endif
  const std::span<std::byte> all(static_cast<std::byte*>(memory), bytes);
  expect_writes(all);
  return std::shared_ptr<FreshPages>(new FreshPages(all));
}

FreshPages::~FreshPages() {
#ifdef _WIN32
  std::free(bytes_.data());
#else
  munmap(bytes_.data(), bytes_.size());
#endif
}

}  // namespace torchmap
