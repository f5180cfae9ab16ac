#include "core/windows.h"

namespace torchmap {
namespace {

constexpr uint64_t kAlignment = 16;  // of the widest element, complex128
constexpr uint64_t kRecordAlignment = 64;

}  // namespace

Windows::Range Windows::room(const Storage& storage) const {
  if (storage.place == StoragePlace::kRecord) {
    const Record& record = checkpoint_.archive()->records()[storage.record];
    return {record.header_offset & ~(kRecordAlignment - 1), record.end};
  }
  return {storage.offset, storage.offset + storage.bytes};
}

std::optional<uint64_t> Windows::cell(const Storage& storage) const {
  if (storage.place != StoragePlace::kRecord && storage.place != StoragePlace::kFile)
    return std::nullopt;
  const Range range = room(storage);
  if (storage.bytes == 0 || range.begin / kCell != (range.end - 1) / kCell) return std::nullopt;
  return range.begin / kCell * kAlignment + range.begin % kAlignment;
}

void Windows::plan() {
  for (const Storage& storage : checkpoint_.catalog().storages) {
    const auto index = cell(storage);
    if (!index) continue;
    const Range range = room(storage);
    auto [found, fresh] = cells_.try_emplace(*index, range);
    if (fresh) continue;
    found->second.begin = std::min(found->second.begin, range.begin);
    found->second.end = std::max(found->second.end, range.end);
  }
  planned_ = true;
}

Result<Window> Windows::find(uint32_t index, uint64_t start, uint64_t end, uint64_t longest) {
  if (!planned_) plan();
  TRY_ASSIGN(const uint64_t offset, checkpoint_.storage_offset(index));
  const Storage& storage = checkpoint_.catalog().storages[index];
  const uint64_t itemsize = storage.untyped ? kAlignment : info(storage.dtype).bytes;
  Window window;
  const auto of_cell = cell(storage);
  const auto range = of_cell ? cells_.find(*of_cell) : cells_.end();
  if (range != cells_.end() && (offset - range->second.begin) % itemsize == 0) {
    window.begin = range->second.begin;
    window.end = range->second.end;
  } else {
    window.copy = storage.bytes < kSmall;
    const bool whole = storage.bytes <= longest;
    window.begin = offset + (whole ? 0 : start);
    window.end = offset + (whole ? storage.bytes : end);
  }
  window.offset = offset + start - window.begin;
  const auto [known, fresh] =
      ids_.try_emplace({window.begin, window.end}, static_cast<uint32_t>(ids_.size()));
  window.id = known->second;
  window.fresh = fresh;
  return window;
}

}  // namespace torchmap
