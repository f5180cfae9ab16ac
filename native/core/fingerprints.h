// Tells that things are all different by their hashes alone.
#pragma once

#include <array>
#include <bit>
#include <cstring>

#include "core/hash.h"
#include "core/pickle/buffer.h"

namespace torchmap {

class Fingerprints {
 public:
  // Whether no two of `count` things are the same; false where two may be, which chance alone
  // hardly ever brings about. `hash_of(i)` is called once for each, in order.
  template <typename F>
  bool differ(uint32_t count, const F& hash_of) {
    const size_t size = std::bit_ceil(2 * size_t{count} + 1), mask = size - 1;
    prints_.truncate(0);
    prints_.make_room(size);
    std::memset(prints_.data(), 0, size * sizeof(uint32_t));
    // The table of many does not fit the cache: slots are fetched before they are looked at.
    std::array<uint64_t, kAhead> hashes;
    const auto hash_next = [&](uint32_t i) {
      hashes[i % kAhead] = hash_of(i);
      prefetch(&prints_[static_cast<size_t>(hashes[i % kAhead]) & mask]);
    };
    for (uint32_t i = 0; i < count && i < kAhead; ++i) hash_next(i);
    for (uint32_t i = 0; i < count; ++i) {
      const uint64_t hash = hashes[i % kAhead];
      if (count - i > kAhead) hash_next(i + kAhead);
      // The half that does not choose the slot; 0 is a free one.
      const auto print = static_cast<uint32_t>(hash >> 32) | 1;
      auto at = static_cast<size_t>(hash) & mask;
      for (; prints_[at] != 0; at = (at + 1) & mask) {
        if (prints_[at] == print) return false;
      }
      prints_[at] = print;
    }
    return true;
  }

 private:
  static constexpr uint32_t kAhead = 8;

  Buffer<uint32_t> prints_;  // a power of two, at most half of them in use
};

}  // namespace torchmap
