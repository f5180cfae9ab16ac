#include "core/source/clean_pages.h"

#include <algorithm>
#include <array>

#ifdef __linux__
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace torchmap {

#ifdef __linux__
namespace {

// A word for each page of the process. Facts: Documentation/admin-guide/mm/pagemap.rst (Linux 6).
constexpr uint64_t kPresent = uint64_t{1} << 63, kSwapped = uint64_t{1} << 62,
                   kOfFile = uint64_t{1} << 61;

// A copy of the page that this process wrote to.
bool is_written(uint64_t word) {
  return (word & kSwapped) != 0 || (word & (kPresent | kOfFile)) == kPresent;
}

void drop(uintptr_t first, uintptr_t end) {
  if (first < end)
    static_cast<void>(madvise(reinterpret_cast<void*>(first), end - first, MADV_DONTNEED));
}

}  // namespace

void drop_clean_pages(std::span<std::byte> pages) {
  static const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto start = reinterpret_cast<uintptr_t>(pages.data()) & ~(page - 1);
  const auto end = reinterpret_cast<uintptr_t>(pages.data() + pages.size()) & ~(page - 1);
  if (start >= end) return;
  const int map = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (map < 0) return;
  std::array<uint64_t, 4096> words;
  for (uintptr_t at = start; at < end;) {
    const size_t count = std::min<size_t>((end - at) / page, words.size());
    const size_t bytes = count * sizeof(uint64_t);
    const auto place = static_cast<off_t>(at / page * sizeof(uint64_t));
    if (pread(map, words.data(), bytes, place) != static_cast<ssize_t>(bytes)) break;
    uintptr_t clean = at;  // the first page of those that were not written to
    for (size_t i = 0; i < count; ++i, at += page) {
      if (!is_written(words[i])) continue;
      drop(clean, at);
      clean = at + page;
    }
    drop(clean, at);
  }
  close(map);
}
#else
void drop_clean_pages(std::span<std::byte>) {}
#endif

}  // namespace torchmap
