// A checkpoint whose tables are known already: those that another thread or process read from the
// same file and sent here. They are as untrusted as a file: every row is checked.
#pragma once

#include <span>
#include <vector>

#include "core/packed_tables.h"

namespace torchmap {

// What a handle has, in the order of lib/handle/pack.ts; columns are described in lib/tables.ts.
struct AttachedTables {
  std::span<const uint32_t> tensors, extras, parts;
  std::span<const double> dims, storages, places, quantizers;
  std::span<const uint32_t> named, weights;  // rows of tensors that have names
  uint64_t devices = 0;                      // how many names of devices there are
};

// The storages of the tables, in a file of `size` bytes: each lies in the file (kFile, with its
// stored bytes, which of a deflated one are not those the tables say), nowhere, or in what only the
// decoded pickle has (kMemory). kBadIndex unless every number names a row that is there and every
// storage lies in the file; kBadTensor unless tensors lie in their storages.
Result<std::vector<Storage>> check_attached(const AttachedTables& tables, uint64_t size);

}  // namespace torchmap
