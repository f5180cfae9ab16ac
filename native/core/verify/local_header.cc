#include "core/verify/local_header.h"

#include "core/archive/zip_layout.h"

namespace torchmap {

Status check_local_header(Source& source, const ZipArchive& archive, uint32_t index,
                          CheckedRecord& row) {
  const Record& record = archive.records()[index];
  auto offset = archive.payload_offset(source, index);
  if (!offset.ok()) {
    if (offset.status().code() != Code::kBadRecord) return std::move(offset).status();
    row.verdict = Verdict::kMismatch;
    row.fault = offset.status().failure().message;
    return {};
  }
  row.offset = *offset;
  if (record.cut) {
    row.verdict = Verdict::kMismatch;
    row.fault = "the record is cut: " + std::to_string(record.stored_size) +
                " bytes of it are there, and no checksum";
  } else if ((record.flags & 1) != 0) {
    row.verdict = Verdict::kNone;
    row.fault = "the record is encrypted";
  } else if (record.method != kStored && record.method != kDeflated) {
    row.verdict = Verdict::kNone;
    row.fault = "the record is compressed with method " + std::to_string(record.method);
  } else if (record.crc == 0 && record.size != 0) {
    row.verdict = Verdict::kAbsent;
  }
  return {};
}

}  // namespace torchmap
