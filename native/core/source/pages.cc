#include "core/source/pages.h"

#include "core/source/file_handle.h"

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace torchmap {

#ifdef __linux__
namespace {

// Linux 5.14; older headers lack it, older kernels refuse it. A touched page that cannot be read
// would kill the process instead.
constexpr int kPopulateRead = 22;

uintptr_t page_size() {
  static const auto known = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  return known;
}

}  // namespace

Pages::Pages(const FileHandle& file, uint64_t offset, uint64_t length) : file_(&file) {
  const uint64_t before = offset % page_size();
  if (length == 0 || length > SIZE_MAX / 2) return;
  const auto size = static_cast<size_t>(before + length);
  void* pages = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.native(),
                     static_cast<off_t>(offset - before));
  if (pages == MAP_FAILED) return;
  mapping_ = {static_cast<const std::byte*>(pages), size};
  bytes_ = mapping_.subspan(static_cast<size_t>(before));
}

Pages::~Pages() {
  if (!mapping_.empty()) munmap(const_cast<std::byte*>(mapping_.data()), mapping_.size());
}

ByteSpan Pages::present(uint64_t at, uint64_t length) const {
  if (!fits(at, length, bytes_.size())) return {};
  const ByteSpan wanted = bytes_.subspan(static_cast<size_t>(at), static_cast<size_t>(length));
  if (file_ == nullptr) return wanted;
  const uintptr_t first = reinterpret_cast<uintptr_t>(wanted.data()) & ~(page_size() - 1);
  const uintptr_t end = reinterpret_cast<uintptr_t>(wanted.data()) + wanted.size();
  if (madvise(reinterpret_cast<void*>(first), end - first, kPopulateRead) != 0) return {};
  if (!file_->check_unchanged().ok()) return {};
  return wanted;
}

#else

Pages::Pages(const FileHandle&, uint64_t, uint64_t) {}
Pages::~Pages() = default;

ByteSpan Pages::present(uint64_t at, uint64_t length) const {
  if (!fits(at, length, bytes_.size())) return {};
  return bytes_.subspan(static_cast<size_t>(at), static_cast<size_t>(length));
}

#endif

}  // namespace torchmap
