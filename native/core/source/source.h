// Where a checkpoint's bytes come from. The only place of the core that does I/O.
//
//   mapping        the file mapped private copy-on-write: views are the pages themselves
//   file reader    the file read by position where mapping does not suit (network file systems)
//   MemorySource   bytes the caller holds; views are copies, because the caller may change or free
//                  them
//   RangesSource   (ranges.h) pieces of an object that is elsewhere
//
// A source is used by one thread at a time; of one that is mapped, several may view and read.
#pragma once

#include <memory>
#include <string>

#include "core/bytes.h"
#include "core/source/copies.h"
#include "core/source/guarded_pages.h"
#include "core/status.h"

namespace torchmap {

// Which file this is, as it was when opened. All zero but for `size` where there is no file.
struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t size = 0;     // bytes
  int64_t mtime_ns = 0;  // nanoseconds since the epoch
};

class Source {
 public:
  Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  virtual ~Source() = default;

  uint64_t size() const { return identity_.size; }
  const FileIdentity& identity() const { return identity_; }

  // Bytes [offset, offset + length), valid as long as the source lives.
  // kTruncated when they are not all there. Asking for the same range again costs no memory.
  virtual Result<ByteSpan> view(uint64_t offset, uint64_t length) = 0;

  // Copies bytes [offset, offset + target.size()) of the file to `target`: what the file holds,
  // also where a view was written to. Meant for the few bytes of headers: nothing is kept, nothing
  // is read ahead. kTruncated as above, kFileChanged when the file shrank since it was opened.
  virtual Status read(uint64_t offset, std::span<std::byte> target) = 0;

  // All bytes, where they are in memory and nobody changes them; else nothing.
  virtual ByteSpan held() const { return {}; }

  // The whole file as one writable private span, or empty when it is not mapped.
  virtual std::span<std::byte> mapped() { return {}; }

  // Pages of bytes [offset, offset + length), of what the file holds, for who looks at much and
  // keeps nothing: nothing is copied. Nothing where that is not to be had, or where the bytes are
  // not in the system's page cache, since reading brings them in faster; read() is the other way,
  // and says why when pages were lost. May be called by several threads at once.
  virtual std::optional<GuardedPages> pages(uint64_t, uint64_t) const { return std::nullopt; }

  // Says that views are few and far apart from here on, so that nothing around them is brought in;
  // or that they are not, which is how a source begins.
  virtual void expect_scattered(bool) {}

  // Brings bytes [offset, offset + length) into the system's page cache, as far as they are not
  // there. Takes as long as that takes; may be called by several threads at once.
  virtual void read_ahead(uint64_t, uint64_t) const {}

  // Says that bytes [offset, offset + length) will not be looked at soon: their pages leave the
  // process's resident memory, but for those that were written to, and with `true` the system's
  // page cache too. They come back when they are looked at.
  virtual void drop(uint64_t, uint64_t, bool) {}

  // Gives the pages back now instead of at the end of the source's life; the caller knows that
  // nobody looks at them any more. Later views answer kClosed.
  virtual void unmap() {}

  // A source of its own over the same open file, for another thread: it copies, and lives on when
  // this one is unmapped. Its read() and check_unchanged() may be called by several threads at
  // once. Null where there is no file or it is closed.
  virtual std::shared_ptr<Source> reader() const { return nullptr; }

  // kFileChanged when the open file is no longer the size or age it was; call before touching
  // pages, since touching a page that the file lost kills the process.
  virtual Status check_unchanged() const { return {}; }

 protected:
  Status check_range(uint64_t offset, uint64_t length) const;

  FileIdentity identity_;
};

struct SourceOptions {
  bool map = true;
  bool automatic = false;  // by what the file lies on (file_system.h); `map` has no say then
};

// Opens `path` (UTF-8). kIo with errno and the system call when the system refuses, also for a
// directory (EISDIR) and for what is no regular file (EINVAL). A mapping that the system refuses
// (ENOMEM under strict overcommit, ENODEV on some file systems) falls back to reading.
Result<std::shared_ptr<Source>> open_file(const std::string& path, const SourceOptions& options);

// Bytes of the caller, used until release().
class MemorySource final : public Source {
 public:
  // `bytes` stay valid and unchanged until release() is called.
  explicit MemorySource(ByteSpan bytes);

  Result<ByteSpan> view(uint64_t offset, uint64_t length) override;
  Status read(uint64_t offset, std::span<std::byte> target) override;

  // The caller's bytes are not looked at from here on: view and read answer kClosed. Views made
  // before stay valid.
  void release();

 private:
  ByteSpan bytes_;
  bool released_ = false;
  Copies copies_;
};

std::shared_ptr<MemorySource> open_memory(ByteSpan bytes);

}  // namespace torchmap
