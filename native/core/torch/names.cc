#include "core/torch/names.h"

#include <bit>
#include <cstring>

#include "core/hash.h"
#include "core/text.h"

namespace torchmap {
namespace {

// Names between the one looked up and the one whose slot is fetched.
constexpr size_t kNamesAhead = 8;

}  // namespace

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
  struct Slot {
    uint32_t number;  // of a name, plus 1; 0 is a free slot
    uint32_t tag;     // the half of the hash that does not choose the slot
  };
  const size_t count = std::bit_ceil(2 * size());
  Buffer<Slot> slots;
  slots.make_room(count);
  std::memset(static_cast<void*>(slots.data()), 0, count * sizeof(Slot));
  for (size_t i = 0; i < size(); ++i) {
    if (i + kNamesAhead < size()) prefetch(&slots[hashes[i + kNamesAhead] & (count - 1)]);
    const auto tag = static_cast<uint32_t>(hashes[i] >> 32);
    size_t slot = hashes[i] & (count - 1);
    while (slots[slot].number != 0) {
      if (slots[slot].tag == tag && at(slots[slot].number - 1) == at(i)) return false;
      slot = (slot + 1) & (count - 1);
    }
    slots[slot] = {static_cast<uint32_t>(i + 1), tag};
  }
  return true;
}

}  // namespace torchmap
