// What every reader of an archive asks of the record that a storage's bytes lie in.
#pragma once

#include <string>

#include "core/archive/zip.h"
#include "core/torch/catalog.h"

namespace torchmap {

// kTruncated unless the record has the storage's bytes.
Status check_size(const Record& record, const Storage& storage);

// kUnsupportedCompression for a record that is encrypted or compressed, be it by deflate where that
// has no reader.
Status check_method(const Record& record, bool deflate_is_read = true);

// The index of the record called `name`, which has the storage's bytes. kNone for an empty storage
// without a record, which needs none; its place is set then. kBadRecord, kTruncated.
Result<uint32_t> find_record(const ZipArchive& archive, const std::string& name, Storage& storage);

}  // namespace torchmap
