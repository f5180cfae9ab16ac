#include "core/packed_tables.h"

#include "core/text.h"
#include "core/threads.h"

namespace torchmap {
namespace {

// Rows that take longer to pack than a thread takes to start.
constexpr size_t kWorthThread = 4096;

// Rows of TensorWord and ExtraWord in lib/tables.ts.
void pack_tensors(const Catalog& catalog, PackedTables& tables) {
  tables.tensors.make_room(catalog.tensors.size() * PackedRow::kTensor);
  uint32_t* at = tables.tensors.data();
  for (size_t i = 0; i < catalog.tensors.size(); ++i, at += PackedRow::kTensor) {
    const Tensor& row = catalog.tensors[i];
    const auto offset = static_cast<uint64_t>(row.offset);
    at[0] = static_cast<uint32_t>(row.dtype) | static_cast<uint32_t>(row.layout) << 8 |
            static_cast<uint32_t>(row.flags) << 16;
    at[1] = row.storage;
    at[2] = static_cast<uint32_t>(offset);
    at[3] = static_cast<uint32_t>(offset >> 32);
    at[4] = static_cast<uint32_t>(row.numel);
    at[5] = static_cast<uint32_t>(row.numel >> 32);
    at[6] = row.dims;
    at[7] = row.ndim;
    at[8] = row.device;
    at[9] = kNoIndex;
    if (row.part_count == 0 && row.quantizer == kNoIndex) continue;
    at[9] = static_cast<uint32_t>(tables.extras.size() / PackedRow::kExtra);
    const uint32_t extra[PackedRow::kExtra] = {row.parts, row.part_count, row.quantizer};
    tables.extras.append(extra, PackedRow::kExtra);
  }
  tables.tensors.extend(catalog.tensors.size() * PackedRow::kTensor);
}

// Rows of StorageColumn in lib/tables.ts.
void pack_storages(const Checkpoint& checkpoint, PackedTables& tables) {
  const std::vector<Storage>& storages = checkpoint.catalog().storages;
  tables.storages.make_room(storages.size() * PackedRow::kStorage);
  double* at = tables.storages.data();
  for (size_t i = 0; i < storages.size(); ++i, at += PackedRow::kStorage) {
    const Storage& row = storages[i];
    const uint32_t swap = row.swap == 0 ? 1 : row.swap;
    at[0] = static_cast<double>(
        static_cast<uint64_t>(row.dtype) | static_cast<uint64_t>(row.place) << 8 |
        static_cast<uint64_t>(swap) << 10 | static_cast<uint64_t>(row.device) << 16);
    at[1] = static_cast<double>(row.bytes);
    at[2] = 0;
    if (row.place == StoragePlace::kRecord) {
      const Record& record = checkpoint.archive()->records()[row.record];
      if (record.method == 8) at[2] = static_cast<double>(record.stored_size);
    }
    tables.keys_are_numbers = tables.keys_are_numbers && plain_number(row.key) == i;
  }
  tables.storages.extend(storages.size() * PackedRow::kStorage);
}

}  // namespace

PackedTables pack_tables(Checkpoint& checkpoint) {
  PackedTables tables;
  FirstFailure outcome;
  const auto part = [&](uint64_t number) {
    if (number == 0) pack_tensors(checkpoint.catalog(), tables);
    if (number == 1) pack_storages(checkpoint, tables);
    if (number == 2) (void)checkpoint.has_distinct_names();
    return Status();
  };
  constexpr uint64_t kParts = 3;
  const bool large = checkpoint.catalog().tensors.size() >= kWorthThread;
  in_parallel(kParts, large ? 1 : kParts, [&](uint64_t begin, uint64_t end) {
    for (uint64_t i = begin; i < end; ++i) outcome.watch([&] { return part(i); });
  });
  (void)outcome.take();  // throws where memory ran out, and nothing else can fail
  return tables;
}

}  // namespace torchmap
