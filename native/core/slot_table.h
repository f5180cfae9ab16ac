// The numbers of things by their hashes, with open addressing; who uses it keeps the things.
#pragma once

#include <bit>
#include <cstring>

#include "core/hash.h"
#include "core/pickle/buffer.h"

namespace torchmap {

class SlotTable {
 public:
  // Empties it; there is room for `count` numbers then.
  void prepare(size_t count) {
    const size_t size = std::bit_ceil(2 * count + 1);
    slots_.truncate(0);
    slots_.make_room(size);
    std::memset(static_cast<void*>(slots_.data()), 0, size * sizeof(Slot));
    mask_ = size - 1;
  }

  // The number with this hash that `is_it`, or `number`, which is put there then.
  template <typename F>
  uint32_t find_or_put(uint64_t hash, uint32_t number, const F& is_it) {
    const auto tag = static_cast<uint32_t>(hash >> 32);
    for (auto at = static_cast<size_t>(hash);; ++at) {
      Slot& slot = slots_[at & mask_];
      if (slot.number == 0) {
        slot = {number + 1, tag};
        return number;
      }
      if (slot.tag == tag && is_it(slot.number - 1)) return slot.number - 1;
    }
  }

 private:
  struct Slot {
    uint32_t number;  // plus 1; 0 is a free slot
    uint32_t tag;     // the half of the hash that does not choose the slot
  };

  Buffer<Slot> slots_;  // a power of two, at most half of them in use
  size_t mask_ = 0;
};

}  // namespace torchmap
