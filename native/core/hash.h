// Hashing of untrusted keys: seeded once per process, so that a file cannot bring keys that
// collide.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#ifdef _MSC_VER
#include <intrin.h>
#endif

namespace torchmap {

// A number that differs from process to process.
uint64_t hash_seed();

// Folds the 128-bit product of two words: every bit of the result hangs on every bit of both.
inline uint64_t hash_fold(uint64_t a, uint64_t b) {
#ifdef _MSC_VER
  uint64_t high;
  const uint64_t low = _umul128(a, b, &high);
  return low ^ high;
#else
  const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
#endif
}

// The seed is a factor of every step, so that no two inputs collide for all seeds.
inline uint64_t hash_mix(uint64_t hash, uint64_t word, uint64_t seed) {
  return hash_fold(hash ^ word ^ 0x9E3779B97F4A7C15u, seed ^ 0xA0761D6478BD642Fu);
}

// Asks for a slot of a table that does not fit the cache, some steps before it is looked at.
inline void prefetch([[maybe_unused]] const void* at) {
#ifdef __GNUC__
  __builtin_prefetch(at, 1);
#endif
}

// The last `left` bytes of a text, fewer than 8, as a word; loads of fixed sizes that may overlap
// instead of a call. Texts of one length give the same word only when they are equal.
inline uint64_t hash_tail(const char* at, size_t left) {
  if (left >= 4) {
    uint32_t low, high;
    std::memcpy(&low, at, 4);
    std::memcpy(&high, at + left - 4, 4);
    return uint64_t{high} << 32 | low;
  }
  uint64_t tail = 0;
  for (size_t i = 0; i < left; ++i) tail = tail << 8 | static_cast<unsigned char>(at[i]);
  return tail;
}

inline uint64_t hash_text(std::string_view text, uint64_t seed) {
  uint64_t hash = text.size();
  const char* at = text.data();
  size_t left = text.size();
  for (; left >= 8; at += 8, left -= 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    hash = hash_mix(hash, word, seed);
  }
  return hash_mix(hash_mix(hash, hash_tail(at, left), seed), left, seed);
}

struct SeededHash {
  uint64_t seed = hash_seed();
  size_t operator()(std::string_view key) const {
    return static_cast<size_t>(hash_text(key, seed));
  }
};

}  // namespace torchmap
