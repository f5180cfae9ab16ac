#include "core/format/storage_record.h"

namespace torchmap {

Status check_size(const Record& record, const Storage& storage) {
  if (record.size >= storage.bytes) return {};
  return Status(Code::kTruncated,
                "record '" + std::string(record.name) + "' has " + std::to_string(record.size) +
                    " bytes but its storage needs " + std::to_string(storage.bytes))
      .in(record.name);
}

Status check_method(const Record& record, bool deflate_is_read) {
  const bool encrypted = (record.flags & 1) != 0;
  if (!encrypted && (record.method == 0 || (record.method == 8 && deflate_is_read))) return {};
  return Status(Code::kUnsupportedCompression,
                "record '" + std::string(record.name) + "' is " +
                    (encrypted ? "encrypted"
                               : "compressed with method " + std::to_string(record.method)))
      .in(record.name)
      .about("compression");
}

Result<uint32_t> find_record(const ZipArchive& archive, const std::string& name, Storage& storage) {
  const uint32_t index = archive.find(name);
  if (index != ZipArchive::kNone) {
    TRY(check_size(archive.records()[index], storage));
  } else if (storage.bytes == 0) {
    storage.place = StoragePlace::kMemory;
  } else {
    return Status(Code::kBadRecord, "record '" + name +
                                        "' is not in the archive but a tensor needs " +
                                        std::to_string(storage.bytes) + " bytes of it")
        .in(name);
  }
  return index;
}

}  // namespace torchmap
