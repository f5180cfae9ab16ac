#include "core/verify/archive.h"

#include "core/archive/zip_layout.h"
#include "core/verify/pieces.h"

namespace torchmap {

Result<std::vector<CheckedRecord>> verify_archive(Source& source, const VerifyOptions& options) {
  TRY(source.check_unchanged());
  TRY_ASSIGN(const ZipArchive archive,
             options.salvage ? ZipArchive::salvage(source, options.limits, options.cancelled)
                             : ZipArchive::read(source, options.limits));
  std::vector<CheckedRecord> rows;
  rows.reserve(archive.records().size());
  for (const Record& record : archive.records()) {
    rows.push_back({std::string(record.name),
                    Verdict::kOk,
                    record.header_offset,
                    record.stored_size,
                    record.size,
                    record.crc,
                    0,
                    record.method == kDeflated,
                    {}});
  }
  Pieces pieces(source, archive, options, rows);
  for (uint32_t i = 0; i < rows.size(); ++i) TRY(pieces.add(i));
  TRY(pieces.run());
  for (CheckedRecord& row : rows) {
    if (row.verdict == Verdict::kOk && row.actual != row.expected) row.verdict = Verdict::kMismatch;
  }
  TRY(source.check_unchanged());
  return rows;
}

}  // namespace torchmap
