#include "core/torch/names.h"

#include <algorithm>

#include "core/slot_table.h"
#include "core/text.h"

namespace torchmap {
namespace {

// Bytes that few names are longer than.
constexpr size_t kLongName = 32;

// Names between the one looked up and the one whose slot is fetched.
constexpr size_t kNamesAhead = 8;

}  // namespace

void Names::expect(size_t count, size_t text_bytes) {
  text.reserve(std::min(kLongName * count, text_bytes));
  ends.make_room(count);
  tensors.make_room(count);
}

bool Names::are_distinct() const {
  if (size() < 2) return true;
  if (!is_ascii(text) || size() > UINT32_MAX / 4) return false;
  const uint64_t seed = hash_seed();
  Buffer<uint64_t> hashes;
  hashes.make_room(size());
  uint64_t begin = 0;
  for (size_t i = 0; i < size(); ++i) {
    hashes.push_unchecked(hash_text({text.data() + begin, ends[i] - begin}, seed));
    begin = ends[i];
  }
  SlotTable slots;
  slots.prepare(size());
  for (uint32_t i = 0; i < size(); ++i) {
    if (i + kNamesAhead < size()) slots.fetch(hashes[i + kNamesAhead]);
    const auto is_same = [&](uint32_t other) { return at(other) == at(i); };
    if (slots.find_or_put(hashes[i], i, is_same) != i) return false;
  }
  return true;
}

}  // namespace torchmap
