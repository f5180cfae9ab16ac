#include "core/source/file_handle.h"

#include <algorithm>
#include <cerrno>
#include <system_error>

#ifdef _WIN32
#define NOMINMAX
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#endif

namespace torchmap {

namespace {

// Most bytes of one system call: Linux stops at 2^31 - 4096, macOS and Windows refuse above 2^31.
constexpr size_t kMaxRead = size_t{1} << 30;

// Bytes that are brought into the page cache at a time, and between two looks whether they are
// there.
constexpr size_t kFetched = size_t{1} << 20, kProbed = size_t{128} << 10;

Status changed_failure(const FileIdentity& was, uint64_t size) {
  if (size == was.size) {
    return Status(Code::kFileChanged, "the file was written to after it was opened");
  }
  return Status(Code::kFileChanged, "the file had " + std::to_string(was.size) +
                                        " bytes when it was opened and now has " +
                                        std::to_string(size));
}

}  // namespace

Status io_failure(const char* call, int error) {
  Status status(Code::kIo,
                std::string(call) + " failed: " + std::generic_category().message(error));
  status.failure().subject = call;
  status.failure().actual = static_cast<uint64_t>(error);
  return status;
}

FileHandle::FileHandle(FileHandle&& other) noexcept
    : native_(std::exchange(other.native_, kInvalid)), identity_(other.identity_) {}

FileHandle& FileHandle::operator=(FileHandle&& other) noexcept {
  std::swap(native_, other.native_);
  std::swap(identity_, other.identity_);
  return *this;
}

#ifdef _WIN32

namespace {

int errno_of(DWORD error) {
  switch (error) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
    case ERROR_INVALID_NAME:
    case ERROR_BAD_PATHNAME:
      return ENOENT;
    case ERROR_ACCESS_DENIED:
      return EACCES;
    case ERROR_SHARING_VIOLATION:
    case ERROR_LOCK_VIOLATION:
      return EBUSY;
    case ERROR_TOO_MANY_OPEN_FILES:
      return EMFILE;
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_OUTOFMEMORY:
      return ENOMEM;
    default:
      return EIO;
  }
}

Status last_failure(const char* call) { return io_failure(call, errno_of(GetLastError())); }

Result<std::wstring> wide(const std::string& path) {
  if (path.empty()) return io_failure("open", ENOENT);
  const int bytes = static_cast<int>(path.size());
  const int count =
      MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path.data(), bytes, nullptr, 0);
  if (count <= 0) return io_failure("open", EINVAL);
  std::wstring text(static_cast<size_t>(count), L'\0');
  MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path.data(), bytes, text.data(), count);
  return text;
}

Result<FileIdentity> identify(HANDLE file) {
  BY_HANDLE_FILE_INFORMATION info;
  if (!GetFileInformationByHandle(file, &info)) return last_failure("fstat");
  if (info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) return io_failure("read", EISDIR);
  const auto join = [](DWORD high, DWORD low) { return uint64_t{high} << 32 | low; };
  const uint64_t ticks =
      join(info.ftLastWriteTime.dwHighDateTime, info.ftLastWriteTime.dwLowDateTime);
  constexpr int64_t kEpoch = 116444736000000000;  // ticks of 100 ns from 1601 to 1970
  return FileIdentity{info.dwVolumeSerialNumber, join(info.nFileIndexHigh, info.nFileIndexLow),
                      join(info.nFileSizeHigh, info.nFileSizeLow),
                      (static_cast<int64_t>(ticks) - kEpoch) * 100};
}

// Bytes read, 0 at the end of the file.
Result<size_t> read_some(HANDLE file, uint64_t offset, std::span<std::byte> target) {
  OVERLAPPED place = {};
  place.Offset = static_cast<DWORD>(offset);
  place.OffsetHigh = static_cast<DWORD>(offset >> 32);
  DWORD count = 0;
  if (!ReadFile(file, target.data(), static_cast<DWORD>(target.size()), &count, &place) &&
      GetLastError() != ERROR_HANDLE_EOF) {
    return last_failure("read");
  }
  return static_cast<size_t>(count);
}

}  // namespace

bool FileHandle::is_cached(uint64_t, uint64_t, size_t) const { return false; }

FileHandle::~FileHandle() {
  if (native_ != kInvalid) CloseHandle(native_);
}

Result<FileHandle> FileHandle::open(const std::string& path) {
  TRY_ASSIGN(const std::wstring name, wide(path));
  // Sharing all, so that others may rename and delete; backup semantics, so that a directory opens
  // and is told from a file that may not be read.
  FileHandle file(CreateFileW(
      name.c_str(), GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, nullptr,
      OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL | FILE_FLAG_BACKUP_SEMANTICS, nullptr));
  if (file.native_ == kInvalid) return last_failure("open");
  if (GetFileType(file.native_) != FILE_TYPE_DISK) return io_failure("open", EINVAL);
  TRY_ASSIGN(file.identity_, identify(file.native_));
  return file;
}

#else

namespace {

Result<FileIdentity> identify(int file) {
  struct stat info;
  if (fstat(file, &info) != 0) return io_failure("fstat", errno);
  if (S_ISDIR(info.st_mode)) return io_failure("read", EISDIR);
  if (!S_ISREG(info.st_mode)) return io_failure("open", EINVAL);
#ifdef __APPLE__
  const timespec mtime = info.st_mtimespec;
#else
  const timespec mtime = info.st_mtim;
#endif
  return FileIdentity{static_cast<uint64_t>(info.st_dev), static_cast<uint64_t>(info.st_ino),
                      static_cast<uint64_t>(info.st_size),
                      int64_t{mtime.tv_sec} * 1'000'000'000 + mtime.tv_nsec};
}

// Bytes read, 0 at the end of the file.
Result<size_t> read_some(int file, uint64_t offset, std::span<std::byte> target) {
  for (;;) {
    const ssize_t count = pread(file, target.data(), target.size(), static_cast<off_t>(offset));
    if (count >= 0) return static_cast<size_t>(count);
    if (errno != EINTR) return io_failure("read", errno);
  }
}

}  // namespace

// mincore() would say of files of other users that everything is.
bool FileHandle::is_cached([[maybe_unused]] uint64_t offset, [[maybe_unused]] uint64_t length,
                           [[maybe_unused]] size_t step) const {
#ifdef RWF_NOWAIT
  char byte;
  const iovec target = {&byte, 1};
  const auto is_there = [&](uint64_t at) {
    return preadv2(native_, &target, 1, static_cast<off_t>(at), RWF_NOWAIT) == 1;
  };
  for (uint64_t at = 0; at < length; at += step)
    if (!is_there(offset + at)) return false;
  return length == 0 || is_there(offset + length - 1);
#else
  return false;
#endif
}

FileHandle::~FileHandle() {
  if (native_ != kInvalid) ::close(native_);
}

Result<FileHandle> FileHandle::open(const std::string& path) {
  int native;
  do {
    // O_NONBLOCK: opening a FIFO would wait for its writer. It changes nothing for a regular file.
    native = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  } while (native < 0 && errno == EINTR);
  if (native < 0) return io_failure("open", errno);
  FileHandle file(native);
  TRY_ASSIGN(file.identity_, identify(native));
  return file;
}

#endif

Status FileHandle::read(uint64_t offset, std::span<std::byte> target) const {
  while (!target.empty()) {
    TRY_ASSIGN(const size_t count,
               read_some(native_, offset, target.first(std::min(target.size(), kMaxRead))));
    if (count == 0) return changed_failure(identity_, offset);
    offset += count;
    target = target.subspan(count);
  }
  return {};
}

// The descriptor stays with the file it was opened on: one renamed over the path does not matter,
// and device and inode cannot differ.
Status FileHandle::check_unchanged() const {
  TRY_ASSIGN(const FileIdentity now, identify(native_));
  if (now.size == identity_.size && now.mtime_ns == identity_.mtime_ns) return {};
  return changed_failure(identity_, now.size);
}

// By reading: of advice (POSIX_FADV_WILLNEED) Linux takes no more than the device does at once, 1
// to 8 MiB of a gigabyte, and brings it in by single pages, which is slower.
void FileHandle::fetch(uint64_t offset, uint64_t length) const {
  std::unique_ptr<std::byte[]> scratch;
  while (length > 0) {
    const auto taken = static_cast<size_t>(std::min<uint64_t>(length, kFetched));
    if (!is_cached(offset, taken, kProbed)) {
      if (!scratch) scratch.reset(new std::byte[kFetched]);
      if (!read(offset, {scratch.get(), taken}).ok()) return;
    }
    offset += taken;
    length -= taken;
  }
}

void FileHandle::release([[maybe_unused]] uint64_t offset, [[maybe_unused]] uint64_t length) const {
#ifdef POSIX_FADV_DONTNEED
  static_cast<void>(posix_fadvise(native_, static_cast<off_t>(offset), static_cast<off_t>(length),
                                  POSIX_FADV_DONTNEED));
#endif
}

}  // namespace torchmap
