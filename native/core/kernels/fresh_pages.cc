#include "core/kernels/fresh_pages.h"

#include <algorithm>
#include <cstdint>

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace torchmap {

namespace {

#ifdef __linux__
// The whole small pages that have all of `target`.
std::span<std::byte> pages_of(std::span<std::byte> target) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t first = reinterpret_cast<uintptr_t>(target.data()) & ~(page - 1);
  const auto end = reinterpret_cast<uintptr_t>(target.data() + target.size());
  return {reinterpret_cast<std::byte*>(first), end - first};
}
#endif

}  // namespace

// Whole small pages, because neighbours with the same advice stay one entry of the system's table,
// of which a process has not many (65,530, vm.max_map_count).
void expect_writes([[maybe_unused]] std::span<std::byte> target) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr size_t kWorthwhile = size_t{4} << 20;
  if (target.size() < kWorthwhile) return;
  const std::span<std::byte> pages = pages_of(target);
  // It is advice: a kernel without large pages refuses, and nothing is lost.
  static_cast<void>(madvise(pages.data(), pages.size(), MADV_HUGEPAGE));
#endif
}

// In steps, so that what else the process asks of its memory does not have to wait for all of it.
void populate([[maybe_unused]] std::span<std::byte> target) {
#ifdef __linux__
  constexpr int kPopulateWrite = 23;  // MADV_POPULATE_WRITE, of Linux 5.14
  constexpr size_t kStep = size_t{4} << 20;
  for (size_t at = 0; at < target.size(); at += kStep) {
    const std::span<std::byte> pages =
        pages_of(target.subspan(at, std::min(kStep, target.size() - at)));
    if (madvise(pages.data(), pages.size(), kPopulateWrite) != 0) return;
  }
#endif
}

}  // namespace torchmap
