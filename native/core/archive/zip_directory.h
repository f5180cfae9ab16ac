// Where the central directory of a zip archive lies, from the end records.
// Facts: APPNOTE 6.3.10 sections 4.3.14 to 4.3.16; PyTorch third_party/miniz-3.0.2/miniz.c,
// mz_zip_reader_locate_header_sig and mz_zip_reader_read_central_dir (v2.13).
#pragma once

#include "core/source/source.h"

namespace torchmap {

struct ZipDirectory {
  uint64_t offset = 0;  // bytes: the first entry
  uint64_t size = 0;    // bytes of all entries; they lie inside the file
  uint64_t count = 0;   // entries, as claimed
  uint64_t shift = 0;   // bytes before the archive that its own offsets do not count
};

// kTruncated when there is no end record, kBadArchive when it does not fit the file.
Result<ZipDirectory> find_zip_directory(Source& source);

}  // namespace torchmap
