// Hashing of untrusted keys: seeded once per process, so that a file cannot bring keys that
// collide.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace torchmap {

// A number that differs from process to process.
uint64_t hash_seed();

inline uint64_t hash_mix(uint64_t a, uint64_t b) {
  a ^= b;
  a *= 0x9FB21C651E98DF25u;
  return a ^ (a >> 32);
}

inline uint64_t hash_text(std::string_view text, uint64_t seed) {
  uint64_t hash = seed ^ text.size() * 0x9E3779B97F4A7C15u;
  const char* at = text.data();
  size_t left = text.size();
  for (; left >= 8; at += 8, left -= 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    hash = hash_mix(hash, word);
  }
  uint64_t tail = 0;
  if (left > 0) std::memcpy(&tail, at, left);
  return hash_mix(hash_mix(hash, tail), seed);
}

struct SeededHash {
  uint64_t seed = hash_seed();
  size_t operator()(std::string_view key) const {
    return static_cast<size_t>(hash_text(key, seed));
  }
};

}  // namespace torchmap
