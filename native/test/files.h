// Temporary files for tests; POSIX only.
#pragma once

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <string_view>

namespace torchmap::check {

// A file that is removed at the end of its scope.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::string_view bytes = {}) {
    const char* folder = getenv("TMPDIR");
    path_ = std::string(folder ? folder : "/tmp") + "/torchmap_XXXXXX";
    file_ = mkstemp(path_.data());
    write(0, bytes);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    ::close(file_);
    ::unlink(path_.c_str());
  }

  const std::string& path() const { return path_; }
  bool ok() const { return file_ >= 0 && ok_; }

  // Writing far behind the end leaves a hole, which takes no space.
  void write(uint64_t offset, std::string_view bytes) {
    const auto count = static_cast<ssize_t>(bytes.size());
    ok_ = ok_ && ::pwrite(file_, bytes.data(), bytes.size(), static_cast<off_t>(offset)) == count;
  }
#ifdef __linux__
  // Has the system forget what it keeps of the file in memory; it may have reasons not to.
  void forget() {
    ok_ = ok_ && ::fdatasync(file_) == 0 && ::posix_fadvise(file_, 0, 0, POSIX_FADV_DONTNEED) == 0;
  }
#endif
  void resize(uint64_t size) { ok_ = ok_ && ::ftruncate(file_, static_cast<off_t>(size)) == 0; }

 private:
  std::string path_;
  int file_ = -1;
  bool ok_ = true;
};

}  // namespace torchmap::check
