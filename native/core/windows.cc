#include "core/windows.h"

#include <algorithm>
#include <array>

#include "core/source/block.h"

namespace torchmap {
namespace {

constexpr uint64_t kAlignment = 16;  // of the widest element, complex128
constexpr uint64_t kRecordAlignment = 64;
// Bytes of neighbours that are read to find out where they begin, and how many of them: together
// they take not much longer than one alone.
constexpr size_t kHeadersRead = size_t{64} << 10, kNeighbours = 1024;

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
    order_.push_back(storage);
  }
  planned_ = true;
}

bool Windows::is_aligned(const Storage& storage, uint32_t cell, uint64_t offset) const {
  const uint64_t itemsize = storage.untyped ? kAlignment : info(storage.dtype).bytes;
  return (offset - cells_[cell].begin) % itemsize == 0;
}

Result<Window> Windows::find(uint32_t index, uint64_t start, uint64_t end, uint64_t longest,
                             bool shared) {
  if (!planned_) plan();
  TRY_ASSIGN(const uint64_t offset, checkpoint_->storage_offset(index));
  const Storage& storage = checkpoint_->catalog().storages[index];
  Window window;
  // Rows can have been added since the cells were planned.
  const uint32_t cell = shared && index < cell_of_.size() ? cell_of_[index] : kNone;
  if (cell != kNone && is_aligned(storage, cell, offset)) {
    window.begin = cells_[cell].begin;
    window.end = cells_[cell].end;
  } else {
    window.copy = storage.bytes < kSmall;
    const bool whole = storage.bytes <= longest;
    window.begin = offset + (whole ? 0 : start);
    window.end = offset + (whole ? storage.bytes : end);
  }
  window.offset = offset + start - window.begin;
  window.start = start;
  const auto [known, fresh] =
      ids_.try_emplace({window.begin, window.end}, static_cast<uint32_t>(ids_.size()));
  window.id = known->second;
  window.fresh = fresh;
  return window;
}

bool Windows::add_places(uint32_t index, const Window& window, Places places) const {
  const size_t count = std::min(places.windows.size(), cell_of_.size());
  const uint32_t cell = index < count ? cell_of_[index] : kNone;
  if (cell == kNone || window.begin != cells_[cell].begin || window.end != cells_[cell].end)
    return false;
  const auto add = [&](uint32_t storage, uint64_t offset) {
    places.windows[storage] = window.id + 1;
    places.offsets[storage] = static_cast<uint32_t>(offset);
  };
  add(index, window.offset - window.start);
  const std::vector<Storage>& storages = checkpoint_->catalog().storages;
  const uint64_t begin = room(storages[index]).begin;
  // Those behind it that are looked at, and where the last of their headers ends.
  auto first = std::lower_bound(
      order_.begin(), order_.end(), begin,
      [&](uint32_t storage, uint64_t at) { return room(storages[storage]).begin < at; });
  while (first != order_.end() && *first != index) ++first;
  if (first != order_.end()) ++first;
  auto last = first;
  uint64_t end = begin;
  for (; last != order_.end() && static_cast<size_t>(last - first) < kNeighbours; ++last) {
    const Storage& storage = storages[*last];
    if (*last >= count || places.windows[*last] != 0) break;
    if (storage.place != StoragePlace::kRecord) continue;
    const Record& record = checkpoint_->archive()->records()[storage.record];
    const uint64_t header_end = record.header_offset + ZipArchive::header_bytes(record);
    if (header_end - begin > kHeadersRead) break;
    end = header_end;
  }
  std::array<std::byte, kHeadersRead> buffer;
  const std::span<std::byte> bytes(buffer.data(), static_cast<size_t>(end - begin));
  if (!bytes.empty() && !checkpoint_->source().read(begin, bytes).ok()) return true;
  Block block(begin, bytes);
  for (; first != last; ++first) {
    auto offset = checkpoint_->storage_offset(*first, &block);
    if (offset.ok() && cell_of_[*first] == cell && is_aligned(storages[*first], cell, *offset))
      add(*first, *offset - cells_[cell].begin);
  }
  return true;
}

}  // namespace torchmap
