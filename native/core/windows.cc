#include "core/windows.h"

#include <algorithm>
#include <array>

namespace torchmap {
namespace {

constexpr uint64_t kAlignment = 16;  // of the widest element, complex128
constexpr uint64_t kRecordAlignment = 64;

}  // namespace

Windows::Range Windows::room(const Storage& storage) const {
  if (storage.place == StoragePlace::kRecord) {
    const Record& record = checkpoint_->archive()->records()[storage.record];
    return {record.header_offset & ~(kRecordAlignment - 1), record.end};
  }
  return {storage.offset, storage.offset + storage.bytes};
}

// Goes through the storages in the order of the file and closes a cell when the next one would make
// it longer than kCell.
void Windows::plan() {
  struct Place {
    Range range;
    uint32_t storage;
  };
  const std::vector<Storage>& storages = checkpoint_->catalog().storages;
  cell_of_.assign(storages.size(), kNone);
  std::vector<Place> places;
  for (uint32_t i = 0; i < storages.size(); ++i) {
    const Storage& storage = storages[i];
    const bool lies =
        storage.place == StoragePlace::kRecord || storage.place == StoragePlace::kFile;
    if (!lies || storage.bytes == 0) continue;
    const Range range = room(storage);
    if (range.end - range.begin <= kCell) places.push_back({range, i});
  }
  const auto by_place = [](const Place& a, const Place& b) {
    return a.range.begin < b.range.begin;
  };
  if (!std::is_sorted(places.begin(), places.end(), by_place))
    std::stable_sort(places.begin(), places.end(), by_place);
  // Storages at addresses of different remainders have different cells, so that all offsets in a
  // window are aligned.
  std::array<uint32_t, kAlignment> open;
  open.fill(kNone);
  for (const auto& [range, storage] : places) {
    uint32_t& cell = open[range.begin % kAlignment];
    if (cell == kNone || std::max(range.end, cells_[cell].end) - cells_[cell].begin > kCell) {
      cell = static_cast<uint32_t>(cells_.size());
      cells_.push_back(range);
    }
    cells_[cell].end = std::max(cells_[cell].end, range.end);
    cell_of_[storage] = cell;
  }
  planned_ = true;
}

Result<Window> Windows::find(uint32_t index, uint64_t start, uint64_t end, uint64_t longest,
                             bool shared) {
  if (!planned_) plan();
  TRY_ASSIGN(const uint64_t offset, checkpoint_->storage_offset(index));
  const Storage& storage = checkpoint_->catalog().storages[index];
  const uint64_t itemsize = storage.untyped ? kAlignment : info(storage.dtype).bytes;
  Window window;
  // Rows can have been added since the cells were planned.
  const uint32_t cell = shared && index < cell_of_.size() ? cell_of_[index] : kNone;
  if (cell != kNone && (offset - cells_[cell].begin) % itemsize == 0) {
    window.begin = cells_[cell].begin;
    window.end = cells_[cell].end;
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
