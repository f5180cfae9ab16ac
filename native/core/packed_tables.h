// The tables of a checkpoint as they are given away: rows of plain numbers, so that nobody has to
// make an object of each.
#pragma once

#include "core/checkpoint.h"

namespace torchmap {

// Numbers in a row, as lib/tables.ts lists them.
struct PackedRow {
  static constexpr size_t kTensor = 10, kExtra = 3, kPart = 2, kStorage = 3, kQuantizer = 6;
};

struct PackedTables {
  Buffer<uint32_t> tensors, extras;
  Buffer<double> storages;
  bool keys_are_numbers = true;  // whether the key of each storage is its number
};

// Also finds out whether names are distinct. Large tables are packed by several threads.
PackedTables pack_tables(Checkpoint& checkpoint);

}  // namespace torchmap
