#include "core/source/source.h"

#include <cerrno>

#include "core/source/file_handle.h"
#include "core/source/file_system.h"

namespace torchmap {

Status Source::check_range(uint64_t offset, uint64_t length) const {
  if (fits(offset, length, size())) return {};
  return Status(Code::kTruncated, std::to_string(length) + " bytes are needed at byte " +
                                      std::to_string(offset) + " of a file of " +
                                      std::to_string(size()) + " bytes")
      .at(offset);
}

Result<std::shared_ptr<Source>> open_file(const std::string& path, const SourceOptions& options) {
  // The system would open what stands before the NUL.
  if (path.find('\0') != std::string::npos) return io_failure("open", EINVAL);
  TRY_ASSIGN(FileHandle file, FileHandle::open(path));
  const bool map = options.automatic ? suits_mapping(file_system_of(file.native())) : options.map;
  if (map) {
    if (std::shared_ptr<Source> mapping = map_file(file)) return mapping;
  }
  return read_file(std::make_shared<const FileHandle>(std::move(file)), false);
}

}  // namespace torchmap
