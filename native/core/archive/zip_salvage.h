// The records of a zip archive whose directory is missing or damaged, found by their local headers.
// Facts: APPNOTE 6.3.10 sections 4.3.7 to 4.3.9; PyTorch third_party/miniz-3.0.2/miniz.c,
// mz_zip_writer_add_mem_ex_v2 (v2.13): torch writes zeros for sizes there, and the sizes behind the
// payload, in a descriptor.
#pragma once

#include <atomic>
#include <vector>

#include "core/archive/zip.h"

namespace torchmap {

struct FoundRecords {
  std::vector<Record> records;  // in file order; they share no bytes
  uint64_t end = 0;             // bytes: no record reaches beyond it
};

// Reads the file once. A descriptor names a record by its size: the payload that ends there must
// start behind a header. What has neither a descriptor nor sizes in its header is `cut`, and has
// what is left up to the next header or the end. kLimitRecords, kCancelled.
Result<FoundRecords> find_local_records(Source& source, const Limits& limits,
                                        const std::atomic<bool>* cancelled);

}  // namespace torchmap
