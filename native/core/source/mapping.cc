// The source over a mapped file. The mapping is private and writable: callers may write to tensors,
// the file never changes, and a page is copied only when it is written to.
#include <algorithm>

#include "core/source/clean_pages.h"
#include "core/source/file_handle.h"

#ifdef _WIN32
#define NOMINMAX
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace torchmap {

namespace {

#ifndef _WIN32
// Bytes that the system brings in for one piece of advice, whatever the device: of more it may
// bring in the beginning only (mm/readahead.c, force_page_cache_ra, Linux 6).
constexpr size_t kAdvised = size_t{128} << 10;
#endif

// Maps all `size` bytes, which are not zero. Null when the system refuses.
std::byte* map_pages(const FileHandle& file, size_t size) {
#ifdef _WIN32
  HANDLE section = CreateFileMappingW(file.native(), nullptr, PAGE_WRITECOPY, 0, 0, nullptr);
  if (section == nullptr) return nullptr;
  void* pages = MapViewOfFile(section, FILE_MAP_COPY, 0, 0, size);
  CloseHandle(section);  // the view keeps the section alive
  return static_cast<std::byte*>(pages);
#else
  int flags = MAP_PRIVATE;
#ifdef MAP_NORESERVE
  // Without it Linux refuses a writable private mapping that is larger than its free memory, though
  // hardly any page of it will ever be written to.
  flags |= MAP_NORESERVE;
#endif
  void* pages = mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, file.native(), 0);
  return pages == MAP_FAILED ? nullptr : static_cast<std::byte*>(pages);
#endif
}

void unmap_pages(std::byte* pages, size_t size) {
#ifdef _WIN32
  static_cast<void>(size);
  UnmapViewOfFile(pages);
#else
  munmap(pages, size);
#endif
}

class Mapping final : public Source {
 public:
  ~Mapping() override { unmap(); }

  void unmap() override {
    if (!pages_.empty()) unmap_pages(pages_.data(), pages_.size());
    pages_ = {};
    file_.reset();
  }

  // Takes `file` over and maps it, or leaves it alone and returns false.
  bool map(FileHandle& file) {
    const uint64_t size = file.identity().size;
    if (size > SIZE_MAX / 2) return false;  // a 32-bit process
    if (size > 0) {                         // systems refuse to map nothing
      std::byte* pages = map_pages(file, static_cast<size_t>(size));
      if (pages == nullptr) return false;
      pages_ = {pages, static_cast<size_t>(size)};
    }
    file_ = std::make_shared<const FileHandle>(std::move(file));
    identity_ = file_->identity();
    return true;
  }

  Result<ByteSpan> view(uint64_t offset, uint64_t length) override {
    TRY(check_range(offset, length));
    if (!file_) return Status(Code::kClosed, "the file is unmapped");
    const auto bytes = pages_.subspan(static_cast<size_t>(offset), static_cast<size_t>(length));
    if (scattered_) fetch(bytes);
    return ByteSpan(bytes);
  }

  void expect_scattered([[maybe_unused]] bool scattered) override {
#ifndef _WIN32
    if (pages_.empty() || scattered == scattered_) return;
    // Advice: nothing is lost where the system does not take it.
    if (madvise(pages_.data(), pages_.size(), scattered ? MADV_RANDOM : MADV_NORMAL) == 0)
      scattered_ = scattered;
#endif
  }

  // Not from the pages: see map_file.
  Status read(uint64_t offset, std::span<std::byte> target) override {
    TRY(check_range(offset, target.size()));
    if (!file_) return Status(Code::kClosed, "the file is unmapped");
    return file_->read(offset, target);
  }

  std::span<std::byte> mapped() override { return pages_; }

  Status check_unchanged() const override {
    if (!file_) return Status(Code::kClosed, "the file is unmapped");
    return file_->check_unchanged();
  }

  std::shared_ptr<Source> reader() const override {
    return file_ ? read_file(file_, true) : nullptr;
  }

  void drop(uint64_t offset, uint64_t length, bool release) override {
    if (!file_ || !check_range(offset, length).ok()) return;
    drop_clean_pages(pages_.subspan(static_cast<size_t>(offset), static_cast<size_t>(length)));
    if (release) file_->release(offset, length);
  }

 private:
  // Asks for all of a view at once: each fault alone would be a disk read of one page.
  static void fetch([[maybe_unused]] std::span<std::byte> bytes) {
#ifndef _WIN32
    static const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    if (bytes.size() <= page) return;
    const auto first = reinterpret_cast<uintptr_t>(bytes.data()) & ~(page - 1);
    const auto end = reinterpret_cast<uintptr_t>(bytes.data() + bytes.size());
    for (uintptr_t at = first; at < end; at += kAdvised) {
      const size_t length = std::min<size_t>(end - at, kAdvised);
      static_cast<void>(madvise(reinterpret_cast<void*>(at), length, MADV_WILLNEED));
    }
#endif
  }

  std::shared_ptr<const FileHandle> file_;
  std::span<std::byte> pages_;
  bool scattered_ = false;
};

}  // namespace

// Under the default advice a fault on a cold page brings in its surroundings (128 KiB on Linux by
// default, megabytes on some disks), which is what reading a tensor wants and opening does not:
// expect_scattered() says which it is. What opening needs of the local headers comes through read()
// instead, which brings in the one page it is asked for, and which fails where a page of a
// shortened file kills.
std::shared_ptr<Source> map_file(FileHandle& file) {
  auto mapping = std::make_shared<Mapping>();
  return mapping->map(file) ? mapping : nullptr;
}

}  // namespace torchmap
