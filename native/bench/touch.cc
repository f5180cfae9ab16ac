#include "bench/touch.h"

#include <cstring>

namespace {

uint64_t word_at(const unsigned char* at) {
  uint64_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

}  // namespace

// Four sums, so that no addition waits for the one before it; compilers make vectors of them.
uint64_t torchmap_touch(const void* bytes, size_t count) {
  const unsigned char* at = static_cast<const unsigned char*>(bytes);
  const unsigned char* end = at + count;
  uint64_t sums[4] = {};
  for (; end - at >= 32; at += 32) {
    for (size_t i = 0; i < 4; ++i) sums[i] += word_at(at + 8 * i);
  }
  for (; end - at >= 8; at += 8) sums[0] += word_at(at);
  uint64_t last = 0;
  if (at != end) std::memcpy(&last, at, static_cast<size_t>(end - at));
  return sums[0] + sums[1] + sums[2] + sums[3] + last;
}
