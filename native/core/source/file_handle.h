// An open regular file, read by position; and the two sources that stand on one.
#pragma once

#include <memory>
#include <string>
#include <type_traits>

#include "core/bytes.h"
#include "core/source/source.h"
#include "core/status.h"

namespace torchmap {

class FileHandle {
 public:
#ifdef _WIN32
  using Native = void*;  // HANDLE
  static inline const Native kInvalid = reinterpret_cast<Native>(static_cast<intptr_t>(-1));
#else
  using Native = int;
  static constexpr Native kInvalid = -1;
#endif

  // Opens `path` (UTF-8) for reading. Never waits, neither for a FIFO's writer nor for a device.
  static Result<FileHandle> open(const std::string& path);

  FileHandle(FileHandle&& other) noexcept;
  FileHandle& operator=(FileHandle&& other) noexcept;
  ~FileHandle();

  // The file as it was when opened.
  const FileIdentity& identity() const { return identity_; }
  Native native() const { return native_; }

  // Fills `target` from `offset`, both inside the file as it was when opened.
  // kFileChanged when the file has become too short, kIo when the system fails.
  Status read(uint64_t offset, std::span<std::byte> target) const;

  // kFileChanged when size or modification time differ from identity().
  Status check_unchanged() const;

  // Whether these bytes are in the system's page cache, as far as one byte of each `step` and the
  // last one tell; false where the system says nothing of it.
  bool is_cached(uint64_t offset, uint64_t length, size_t step) const;
  // Brings these bytes into the system's page cache, where they are not known to be there; stops
  // without a word where the file ends or the system fails.
  void fetch(uint64_t offset, uint64_t length) const;
  // Says that these bytes will be wanted no more. Advice: nothing comes of it where the system does
  // not take it.
  void release(uint64_t offset, uint64_t length) const;

 private:
  explicit FileHandle(Native native) : native_(native) {}

  Native native_;
  FileIdentity identity_;
};

static_assert(!std::is_copy_constructible_v<FileHandle>);

// kIo: `call` failed with `error`, an errno.
Status io_failure(const char* call, int error);

// A source over the mapped file. Null, with `file` untouched, when the system refuses to map it.
std::shared_ptr<Source> map_file(FileHandle& file);

// A source that reads the file; with `pages` one that may have guarded pages of it, too.
std::shared_ptr<Source> read_file(std::shared_ptr<const FileHandle> file, bool pages);

}  // namespace torchmap
