// What deflated bytes are read by: bits, and Huffman codes of them (RFC 1951).
#pragma once

#include <array>
#include <cstring>
#include <span>

#include "core/bytes.h"

namespace torchmap {

inline constexpr unsigned kLongestCode = 15;

// Bits from the lowest of each byte on. Behind the last byte there are zeros, which the caller
// finds out about by `is_past_end`.
class Bits {
 public:
  explicit Bits(ByteSpan bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  // 56 bits at least are there afterwards: a length and a distance with all their extra bits.
  void refill() {
    if (end_ - at_ >= 8) {
      bits_ |= load_le<uint64_t>(at_) << count_;
      at_ += (63 - count_) >> 3;
      count_ |= 56;
      return;
    }
    while (count_ <= 56) {
      if (at_ == end_) {
        ++missing_;
      } else {
        bits_ |= std::to_integer<uint64_t>(*at_++) << count_;
      }
      count_ += 8;
    }
  }
  bool has(unsigned count) const { return count_ >= count; }
  uint64_t peek() const { return bits_; }
  void drop(unsigned count) {
    bits_ >>= count;
    count_ -= count;
  }
  unsigned take(unsigned count) {
    const auto taken = static_cast<unsigned>(bits_ & ((uint64_t{1} << count) - 1));
    drop(count);
    return taken;
  }
  bool is_past_end() const { return uint64_t{missing_} * 8 > count_; }

  // Goes on with the byte behind the one whose bits were taken last.
  void align() {
    drop(count_ & 7);
    const size_t ahead = count_ / 8 - std::min<size_t>(missing_, count_ / 8);
    at_ -= ahead;
    bits_ = 0;
    count_ = missing_ = 0;
  }
  // Of aligned bits: the bytes that follow.
  ByteSpan rest() const { return {at_, end_}; }
  void skip(size_t bytes) { at_ += bytes; }

  // Whether the next refill would find fewer bytes than it can take.
  bool is_low() const { return end_ - at_ < 8; }
  // The bytes that follow and the eight before them, which align() may go back over, are elsewhere
  // from now on, with more behind them.
  static constexpr size_t kBehind = 8;
  void move_to(const std::byte* at, const std::byte* end) {
    at_ = at;
    end_ = end;
  }

 private:
  const std::byte* at_;
  const std::byte* end_;
  uint64_t bits_ = 0;
  unsigned count_ = 0;
  unsigned missing_ = 0;  // bytes of zeros
};

inline constexpr unsigned kNoSymbol = ~0U;

// A canonical code (section 3.2.2) of up to `symbols` of them. Most are found by their first `fast`
// bits at once, those with longer codes bit by bit. Nothing is set before it is built.
template <unsigned fast, size_t symbols>
class Huffman {
 public:
  // Fails for lengths that are no code; an incomplete one is such where it has more than one
  // symbol or where `must_be_complete`.
  bool build(std::span<const uint8_t> lengths, bool must_be_complete) {
    counts_.fill(0);
    for (const uint8_t length : lengths) ++counts_[length];
    const auto used = static_cast<unsigned>(lengths.size() - counts_[0]);
    counts_[0] = 0;
    int left = 1;
    std::array<uint16_t, kLongestCode + 2> next_symbol{};
    for (unsigned length = 1; length <= kLongestCode; ++length) {
      left = 2 * left - counts_[length];
      if (left < 0) return false;
      next_symbol[length + 1] = static_cast<uint16_t>(next_symbol[length] + counts_[length]);
    }
    if (left > 0 && (must_be_complete || used > 1 || counts_[1] != used)) return false;
    for (size_t symbol = 0; symbol < lengths.size(); ++symbol) {
      if (lengths[symbol] != 0)
        symbols_[next_symbol[lengths[symbol]]++] = static_cast<uint16_t>(symbol);
    }
    fill_fast();
    return true;
  }

  [[gnu::always_inline]] unsigned decode(Bits& bits) const {
    const unsigned found = fast_[bits.peek() & (kFastSize - 1)];
    if (found != 0) {
      bits.drop(found & 15);
      return found >> 4;
    }
    return decode_long(bits);
  }

 private:
  static constexpr unsigned kFastSize = 1U << fast;

  // One table for codes of one bit, two of these for those of two, and so on.
  void fill_fast() {
    fast_[0] = 0;
    const uint16_t* symbol = symbols_.data();
    unsigned code = 0;  // its first bit is the lowest
    for (unsigned length = 1; length <= fast; ++length) {
      const unsigned size = 1U << (length - 1);
      std::memcpy(&fast_[size], fast_.data(), size * sizeof fast_[0]);
      for (unsigned i = 0; i < counts_[length]; ++i) {
        fast_[code] = static_cast<uint16_t>(unsigned{*symbol++} << 4 | length);
        unsigned bit = size;
        for (; (code & bit) != 0; bit >>= 1) code ^= bit;
        code |= bit;
      }
    }
  }

  [[gnu::noinline]] unsigned decode_long(Bits& bits) const {
    unsigned code = 0, first = 0, index = 0;
    for (unsigned length = 1; length <= kLongestCode; ++length) {
      code |= bits.take(1);
      const unsigned count = counts_[length];
      if (code < first + count) return symbols_[index + (code - first)];
      index += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    return kNoSymbol;
  }

  std::array<uint16_t, kFastSize> fast_;  // symbol << 4 | length; 0 where the code is longer
  std::array<uint16_t, kLongestCode + 1> counts_;
  std::array<uint16_t, symbols> symbols_;
};

}  // namespace torchmap
