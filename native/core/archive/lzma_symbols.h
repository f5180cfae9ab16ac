// The symbols of LZMA: bytes and matches, each bit of which has a probability that follows what
// came before. See lzma.h.
#pragma once

#include <algorithm>
#include <array>

#include "core/bytes.h"

namespace torchmap::lzma {

inline constexpr unsigned kStates = 12, kPlaces = 16, kLiteralStates = 7;
inline constexpr unsigned kLongestPlace = 4, kMostLiteralBits = 4;
inline constexpr unsigned kShortestMatch = 2;
inline constexpr uint32_t kLeastDictionary = 4096, kMarker = 0xFFFFFFFF;
inline constexpr unsigned kProbabilityBits = 11, kMoveBits = 5;
inline constexpr uint32_t kCertain = 1 << kProbabilityBits;
inline constexpr uint16_t kEven = kCertain / 2;
inline constexpr uint32_t kLeastRange = uint32_t{1} << 24;
inline constexpr size_t kRangeBytes = 5;
// A symbol takes no more bytes (LzmaDec.c, LZMA_REQUIRED_INPUT_MAX).
inline constexpr size_t kSymbolBytes = 20;

// Where the probabilities of what stand in one array.
inline constexpr unsigned kLengthLow = 2, kLengthMiddle = kLengthLow + kPlaces * 8,
                          kLengthHigh = kLengthMiddle + kPlaces * 8, kLengthAll = kLengthHigh + 256;
inline constexpr unsigned kIsMatch = 0, kIsRepeat = kIsMatch + kStates * kPlaces,
                          kIsRepeat0 = kIsRepeat + kStates, kIsRepeat1 = kIsRepeat0 + kStates,
                          kIsRepeat2 = kIsRepeat1 + kStates, kIsLong = kIsRepeat2 + kStates,
                          kSlots = kIsLong + kStates * kPlaces, kFarBits = kSlots + 4 * 64,
                          kAlignBits = kFarBits + 115, kLengths = kAlignBits + 16,
                          kRepeatLengths = kLengths + kLengthAll,
                          kLiterals = kRepeatLengths + kLengthAll, kLiteralSize = 0x300,
                          kAll = kLiterals + (kLiteralSize << kMostLiteralBits);

// Numbers of which each bit has a probability, or none.
struct RangeCoder {
  const std::byte* at;
  uint32_t range, code;

  void normalize() {
    if (range >= kLeastRange) return;
    range <<= 8;
    code = code << 8 | std::to_integer<uint32_t>(*at++);
  }
  unsigned bit(uint16_t& probability) {
    normalize();
    const uint32_t chance = probability, bound = (range >> kProbabilityBits) * chance;
    if (code < bound) {
      range = bound;
      probability = static_cast<uint16_t>(chance + ((kCertain - chance) >> kMoveBits));
      return 0;
    }
    range -= bound;
    code -= bound;
    probability = static_cast<uint16_t>(chance - (chance >> kMoveBits));
    return 1;
  }
  unsigned tree(uint16_t* probabilities, unsigned bits) {
    unsigned found = 1;
    for (unsigned i = 0; i < bits; ++i) found = found << 1 | bit(probabilities[found]);
    return found - (1U << bits);
  }
  // The lowest bit comes first.
  unsigned reverse_tree(uint16_t* probabilities, unsigned bits) {
    unsigned found = 1, value = 0;
    for (unsigned i = 0; i < bits; ++i) {
      const unsigned one = bit(probabilities[found]);
      found = found << 1 | one;
      value |= one << i;
    }
    return value;
  }
  uint32_t even_bits(unsigned bits) {
    uint32_t value = 0;
    for (unsigned i = 0; i < bits; ++i) {
      normalize();
      range >>= 1;
      const uint32_t one = code >= range ? 1 : 0;
      code -= one * range;
      value = value << 1 | one;
    }
    return value;
  }
};

// What the next symbol hangs on, and the symbols.
struct Symbols {
  RangeCoder coder;
  uint16_t* const all;  // the probabilities
  unsigned state;
  std::array<uint32_t, 4> repeats;  // distances less 1, the last one first

  bool bit(unsigned which) { return coder.bit(all[which]) != 0; }

  std::byte literal(unsigned probabilities) {
    uint16_t* const p = all + probabilities;
    unsigned symbol = 1;
    while (symbol < 0x100) symbol = symbol << 1 | coder.bit(p[symbol]);
    return static_cast<std::byte>(symbol & 0xFF);
  }
  // The one that follows a match hangs on the byte that would have gone on with it.
  std::byte literal_after(unsigned probabilities, std::byte expected) {
    uint16_t* const p = all + probabilities;
    unsigned symbol = 1, matched = std::to_integer<unsigned>(expected), offset = 0x100;
    while (symbol < 0x100) {
      matched <<= 1;
      const unsigned one = coder.bit(p[offset + (matched & offset) + symbol]);
      symbol = symbol << 1 | one;
      offset &= one != 0 ? matched : ~matched;
    }
    return static_cast<std::byte>(symbol & 0xFF);
  }
  void after_literal() { state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6; }

  // The length of a match, whose distance is the first of `repeats` then.
  unsigned match(unsigned place) {
    const bool after_literals = state < kLiteralStates;
    if (!bit(kIsRepeat + state)) {
      const unsigned found = length(kLengths, place);
      repeats = {distance(found), repeats[0], repeats[1], repeats[2]};
      state = after_literals ? 7 : 10;
      return kShortestMatch + found;
    }
    if (!bit(kIsRepeat0 + state)) {
      if (!bit(kIsLong + state * kPlaces + place)) {
        state = after_literals ? 9 : 11;
        return 1;
      }
    } else if (!bit(kIsRepeat1 + state)) {
      repeats = {repeats[1], repeats[0], repeats[2], repeats[3]};
    } else if (!bit(kIsRepeat2 + state)) {
      repeats = {repeats[2], repeats[0], repeats[1], repeats[3]};
    } else {
      repeats = {repeats[3], repeats[0], repeats[1], repeats[2]};
    }
    state = after_literals ? 8 : 11;
    return kShortestMatch + length(kRepeatLengths, place);
  }

 private:
  unsigned length(unsigned which, size_t place) {
    uint16_t* const p = all + which;
    if (coder.bit(p[0]) == 0) return coder.tree(p + kLengthLow + place * 8, 3);
    if (coder.bit(p[1]) == 0) return 8 + coder.tree(p + kLengthMiddle + place * 8, 3);
    return 16 + coder.tree(p + kLengthHigh, 8);
  }
  uint32_t distance(unsigned length) {
    constexpr unsigned kFirstWithBits = 4, kFirstFar = 14, kAlign = 4;
    const unsigned slot = coder.tree(all + kSlots + size_t{std::min(length, 3U)} * 64, 6);
    if (slot < kFirstWithBits) return slot;
    const unsigned bits = (slot >> 1) - 1;
    const uint32_t base = (2 | (slot & 1)) << bits;
    if (slot < kFirstFar) return base + coder.reverse_tree(all + kFarBits + base - slot, bits);
    const uint32_t high = coder.even_bits(bits - kAlign) << kAlign;
    return base + high + coder.reverse_tree(all + kAlignBits, kAlign);
  }
};

}  // namespace torchmap::lzma
