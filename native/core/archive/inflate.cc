#include "core/archive/inflate.h"

#include <algorithm>
#include <array>

namespace torchmap {
namespace {

constexpr size_t kMostLiterals = 288, kMostDistances = 32, kMostCodeLengths = 19;
constexpr unsigned kLongestCode = 15;
constexpr unsigned kEndOfBlock = 256, kFirstLength = 257;
// As many of each as RFC 1951 gives a meaning to.
constexpr unsigned kLiterals = 286, kDistances = 30;

// RFC 1951, section 3.2.5.
constexpr std::array<uint16_t, 29> kLengthBase{3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
                                               15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
                                               67, 83, 99, 115, 131, 163, 195, 227, 258};
constexpr std::array<uint8_t, 29> kLengthExtra{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                               2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
constexpr std::array<uint16_t, 30> kDistanceBase{
    1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
    193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
constexpr std::array<uint8_t, 30> kDistanceExtra{0, 0, 0,  0,  1,  1,  2,  2,  3,  3,
                                                 4, 4, 5,  5,  6,  6,  7,  7,  8,  8,
                                                 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};
// Section 3.2.7.
constexpr std::array<uint8_t, kMostCodeLengths> kCodeLengthOrder{16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                                 11, 4,  12, 3, 13, 2, 14, 1, 15};

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

  // The bytes behind the one whose bits were taken last.
  ByteSpan rest() {
    drop(count_ & 7);
    const size_t ahead = count_ / 8 - std::min<size_t>(missing_, count_ / 8);
    at_ -= ahead;
    bits_ = 0;
    count_ = missing_ = 0;
    return {at_, end_};
  }
  void skip(size_t bytes) { at_ += bytes; }

 private:
  const std::byte* at_;
  const std::byte* end_;
  uint64_t bits_ = 0;
  unsigned count_ = 0;
  unsigned missing_ = 0;  // bytes of zeros
};

template <unsigned bits>
constexpr std::array<uint16_t, 1 << bits> reversed_bits() {
  std::array<uint16_t, 1 << bits> made{};
  for (unsigned i = 1; i < made.size(); ++i)
    made[i] = static_cast<uint16_t>(made[i >> 1] >> 1 | (i & 1) << (bits - 1));
  return made;
}

// A canonical code (section 3.2.2). Most symbols are found by their first bits at once, those with
// longer codes bit by bit.
class Huffman {
 public:
  static constexpr unsigned kNone = ~0U;

  // Fails for lengths that are no code; an incomplete one is such where it has more than one
  // symbol or where `must_be_complete`.
  bool build(std::span<const uint8_t> lengths, bool must_be_complete) {
    counts_ = {};
    for (const uint8_t length : lengths) ++counts_[length];
    const auto used = static_cast<unsigned>(lengths.size() - counts_[0]);
    counts_[0] = 0;
    int left = 1;
    std::array<uint16_t, kLongestCode + 2> next_symbol{}, next_code{};
    for (unsigned length = 1; length <= kLongestCode; ++length) {
      left = 2 * left - counts_[length];
      if (left < 0) return false;
      next_symbol[length + 1] = static_cast<uint16_t>(next_symbol[length] + counts_[length]);
      next_code[length + 1] = static_cast<uint16_t>((next_code[length] + counts_[length]) << 1);
    }
    if (left > 0 && (must_be_complete || used > 1 || counts_[1] != used)) return false;
    fast_.fill(0);
    for (size_t symbol = 0; symbol < lengths.size(); ++symbol) {
      const unsigned length = lengths[symbol];
      if (length == 0) continue;
      symbols_[next_symbol[length]++] = static_cast<uint16_t>(symbol);
      const unsigned code = next_code[length]++;
      if (length > kFast) continue;
      const unsigned reversed = kReversed[code] >> (kFast - length);
      for (unsigned at = reversed; at < fast_.size(); at += 1U << length)
        fast_[at] = static_cast<uint16_t>(symbol << 4 | length);
    }
    return true;
  }

  unsigned decode(Bits& bits) const {
    const unsigned found = fast_[bits.peek() & (fast_.size() - 1)];
    if (found != 0) {
      bits.drop(found & 15);
      return found >> 4;
    }
    unsigned code = 0, first = 0, index = 0;
    for (unsigned length = 1; length <= kLongestCode; ++length) {
      code |= bits.take(1);
      const unsigned count = counts_[length];
      if (code < first + count) return symbols_[index + (code - first)];
      index += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    return kNone;
  }

 private:
  static constexpr unsigned kFast = 9;
  // Bits the other way round.
  static constexpr std::array<uint16_t, 1 << kFast> kReversed = reversed_bits<kFast>();

  std::array<uint16_t, 1 << kFast> fast_{};  // symbol << 4 | length; 0 where the code is longer
  std::array<uint16_t, kLongestCode + 1> counts_{};
  std::array<uint16_t, kMostLiterals> symbols_{};
};

struct Codes {
  Huffman literals, distances;
};

// Section 3.2.6.
const Codes& fixed_codes() {
  static const Codes codes = [] {
    Codes made;
    std::array<uint8_t, kMostLiterals> lengths{};
    std::fill_n(lengths.begin(), 144, uint8_t{8});
    std::fill_n(lengths.begin() + 144, 112, uint8_t{9});
    std::fill_n(lengths.begin() + 256, 24, uint8_t{7});
    std::fill_n(lengths.begin() + 280, 8, uint8_t{8});
    made.literals.build(lengths, true);
    std::array<uint8_t, kMostDistances> distances{};
    distances.fill(5);
    made.distances.build(distances, true);
    return made;
  }();
  return codes;
}

Status damaged(const char* what) {
  return Status(Code::kBadRecord, std::string("the deflated bytes have ") + what);
}
Status ends_early() { return Status(Code::kBadRecord, "the deflated bytes end early"); }

class Inflation {
 public:
  Inflation(ByteSpan deflated, std::span<std::byte> target) : bits_(deflated), target_(target) {}

  Result<Inflated> run() {
    for (bool is_last = false; !is_last;) {
      bits_.refill();
      is_last = bits_.take(1) != 0;
      const unsigned kind = bits_.take(2);
      if (bits_.is_past_end()) return ends_early();
      if (kind == 0) {
        TRY(stored());
      } else if (kind == 1) {
        TRY(block(fixed_codes()));
      } else if (kind == 2) {
        TRY(read_codes());
        TRY(block(own_));
      } else {
        return damaged("a block of an unknown type");
      }
      if (is_full_) return Inflated{at_, false};
    }
    return Inflated{at_, true};
  }

 private:
  Status stored() {
    const ByteSpan rest = bits_.rest();
    if (rest.size() < 4) return ends_early();
    const auto length = load_le<uint16_t>(rest.data());
    if (length != static_cast<uint16_t>(~load_le<uint16_t>(rest.data() + 2)))
      return damaged("a stored block with two lengths");
    if (rest.size() - 4 < length) return ends_early();
    const size_t taken = std::min<size_t>(length, target_.size() - at_);
    if (taken > 0) std::memcpy(target_.data() + at_, rest.data() + 4, taken);
    at_ += taken;
    is_full_ = taken < length;
    bits_.skip(size_t{4} + length);
    return {};
  }

  Status read_codes() {
    bits_.refill();
    const unsigned literals = bits_.take(5) + 257, distances = bits_.take(5) + 1;
    const unsigned code_lengths = bits_.take(4) + 4;
    if (literals > kLiterals || distances > kDistances) return damaged("too many symbols");
    std::array<uint8_t, kMostCodeLengths> small{};
    for (unsigned i = 0; i < code_lengths; ++i) {
      if (i % 16 == 0) bits_.refill();
      small[kCodeLengthOrder[i]] = static_cast<uint8_t>(bits_.take(3));
    }
    if (!own_.literals.build(small, true)) return damaged("no code of code lengths");
    std::array<uint8_t, kMostLiterals + kMostDistances> lengths{};
    for (unsigned i = 0; i < literals + distances;) {
      bits_.refill();
      const unsigned symbol = own_.literals.decode(bits_);
      if (bits_.is_past_end()) return ends_early();
      if (symbol < 16) {
        lengths[i++] = static_cast<uint8_t>(symbol);
        continue;
      }
      if (symbol == Huffman::kNone || (symbol == 16 && i == 0))
        return damaged("code lengths that begin with nothing");
      const unsigned repeated = symbol == 16   ? 3 + bits_.take(2)
                                : symbol == 17 ? 3 + bits_.take(3)
                                               : 11 + bits_.take(7);
      if (repeated > literals + distances - i) return damaged("too many code lengths");
      const uint8_t length = symbol == 16 ? lengths[i - 1] : uint8_t{0};
      std::fill_n(lengths.begin() + i, repeated, length);
      i += repeated;
    }
    if (lengths[kEndOfBlock] == 0) return damaged("a block that cannot end");
    const std::span<const uint8_t> all(lengths);
    if (!own_.literals.build(all.first(literals), false) ||
        !own_.distances.build(all.subspan(literals, distances), false)) {
      return damaged("lengths that are no code");
    }
    return {};
  }

  Status block(const Codes& codes) {
    // Of its own, so that the compiler knows that no byte of the target is one of its members.
    Bits bits = bits_;
    size_t at = at_;
    Status outcome = block(codes, bits, at);
    bits_ = bits;
    at_ = at;
    return outcome;
  }

  [[gnu::always_inline]] inline Status block(const Codes& codes, Bits& bits, size_t& at) {
    std::byte* const target = target_.data();
    const size_t room = target_.size();
    for (;;) {
      bits.refill();
      const unsigned symbol = codes.literals.decode(bits);
      if (bits.is_past_end()) return ends_early();
      if (symbol < kEndOfBlock) {
        if (at == room) return full();
        target[at++] = static_cast<std::byte>(symbol);
        continue;
      }
      if (symbol == kEndOfBlock) return {};
      if (symbol >= kLiterals) return damaged("a length that has no meaning");
      const unsigned kind = symbol - kFirstLength;
      const size_t length = kLengthBase[kind] + bits.take(kLengthExtra[kind]);
      const unsigned far = codes.distances.decode(bits);
      if (far >= kDistances) return damaged("a distance that has no meaning");
      const size_t distance = kDistanceBase[far] + bits.take(kDistanceExtra[far]);
      if (bits.is_past_end()) return ends_early();
      if (distance > at) return damaged("a distance beyond their start");
      const size_t taken = std::min(length, room - at);
      copy(target + at, distance, taken);
      at += taken;
      if (taken < length) return full();
    }
  }

  // What is copied may have been written by the same copy.
  static void copy(std::byte* to, size_t distance, size_t length) {
    const std::byte* from = to - distance;
    if (distance >= length) {
      std::memcpy(to, from, length);
    } else if (distance == 1) {
      std::memset(to, std::to_integer<int>(*from), length);
    } else {
      for (size_t i = 0; i < length; ++i) to[i] = from[i];
    }
  }

  Status full() {
    is_full_ = true;
    return {};
  }

  Bits bits_;
  const std::span<std::byte> target_;
  size_t at_ = 0;
  bool is_full_ = false;
  Codes own_;
};

}  // namespace

Result<Inflated> inflate(ByteSpan deflated, std::span<std::byte> target) {
  return Inflation(deflated, target).run();
}

}  // namespace torchmap
