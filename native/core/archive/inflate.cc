#include "core/archive/inflate.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "core/archive/huffman.h"

namespace torchmap {
namespace {

constexpr size_t kMostLiterals = 288, kMostDistances = 32, kMostCodeLengths = 19;
constexpr unsigned kEndOfBlock = 256, kFirstLength = 257;
constexpr size_t kWord = 8;  // bytes copied at once
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

using CodeLengths = Huffman<7, kMostCodeLengths>;
constexpr unsigned kLongestLength = 7 + 7;  // bits of one of them, repeated
struct Codes {
  Huffman<9, kMostLiterals> literals;
  Huffman<8, kMostDistances> distances;
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

// Distances lead no further back (RFC 1951, section 3.2.5).
constexpr size_t kWindow = size_t{1} << 15;
// Bytes of a stream that are read, and of what it becomes that are given away, at a time.
constexpr size_t kReadAtOnce = size_t{1} << 16, kGivenAtOnce = size_t{1} << 17;

class Inflation {
 public:
  Inflation(ByteSpan deflated, std::span<std::byte> target)
      : bits_(deflated), target_(target), fed_(deflated.size()) {}
  // From and to a stream, by way of memory of its own.
  explicit Inflation(InflateStream& stream)
      : stream_(&stream),
        input_(new std::byte[Bits::kBehind + kReadAtOnce + Bits::kBehind]),
        output_(new std::byte[kWindow + kGivenAtOnce]),
        bits_({input_.get() + Bits::kBehind, 0}),
        target_(output_.get(), kWindow + kGivenAtOnce),
        has_more_(true) {}

  Status run(Inflated& done) {
    Status outcome = blocks();
    done = {given_ + at_ - kept_, false, 0};
    if (!outcome.ok()) {
      // What came out before the break is given away, too.
      if (outcome.code() == Code::kBadRecord) drain(at_);
      return outcome;
    }
    if (is_full_) return {};
    if (stream_ != nullptr && !drain(at_)) return std::move(failure_);
    bits_.align();
    done.ended = true;
    done.used = fed_ - bits_.rest().size();
    return {};
  }

 private:
  // False with `failure_` set where reading fails.
  [[gnu::always_inline]] bool refill(Bits& bits) {
    if (bits.is_low() && has_more_ && !feed(bits)) return false;
    bits.refill();
    return true;
  }

  // Puts more behind what is left of the input.
  bool feed(Bits& bits) {
    const ByteSpan left = bits.rest();
    std::byte* const at = input_.get() + Bits::kBehind;
    std::memmove(input_.get(), left.data() - Bits::kBehind, Bits::kBehind + left.size());
    size_t have = left.size();
    while (has_more_ && have < Bits::kBehind) {
      auto count = stream_->read({at + have, kReadAtOnce});
      if (!count.ok()) {
        failure_ = std::move(count).status();
        return false;
      }
      has_more_ = *count > 0;
      have += *count;
      fed_ += *count;
    }
    bits.move_to(at, at + have);
    return true;
  }

  // Gives away what the target has and keeps the window: `at` is where it goes on. False where
  // nothing more is wanted, or with `failure_` set.
  bool drain(size_t& at) {
    if (stream_ == nullptr) return false;
    const ByteSpan fresh = ByteSpan(target_).subspan(kept_, at - kept_);
    auto wanted = stream_->take(fresh);
    const bool goes_on = wanted.ok() && *wanted;
    if (!wanted.ok()) failure_ = std::move(wanted).status();
    given_ += fresh.size();
    kept_ = std::min(at, kWindow);
    std::memmove(target_.data(), target_.data() + at - kept_, kept_);
    at = kept_;
    return goes_on;
  }

  // Up to the last one, or until there is no room.
  Status blocks() {
    for (bool is_last = false; !is_last && !is_full_;) {
      if (!refill(bits_)) return std::move(failure_);
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
    }
    return {};
  }

  Status stored() {
    bits_.align();
    if (bits_.rest().size() < 4 && has_more_ && !feed(bits_)) return std::move(failure_);
    const ByteSpan head = bits_.rest();
    if (head.size() < 4) return ends_early();
    const auto length = load_le<uint16_t>(head.data());
    if (length != static_cast<uint16_t>(~load_le<uint16_t>(head.data() + 2)))
      return damaged("a stored block with two lengths");
    bits_.skip(4);
    for (size_t left = length; left > 0;) {
      if (bits_.rest().empty() && has_more_ && !feed(bits_)) return std::move(failure_);
      if (bits_.rest().empty()) return ends_early();
      const size_t taken = std::min({left, bits_.rest().size(), target_.size() - at_});
      if (taken > 0) std::memcpy(target_.data() + at_, bits_.rest().data(), taken);
      at_ += taken;
      left -= taken;
      bits_.skip(taken);
      if (left > 0 && at_ == target_.size() && !drain(at_)) return full();
    }
    return {};
  }

  Status read_codes() {
    if (!refill(bits_)) return std::move(failure_);
    const unsigned literals = bits_.take(5) + 257, distances = bits_.take(5) + 1;
    const unsigned code_lengths = bits_.take(4) + 4;
    if (literals > kLiterals || distances > kDistances) return damaged("too many symbols");
    std::array<uint8_t, kMostCodeLengths> small{};
    for (unsigned i = 0; i < code_lengths; ++i) {
      if (i % 16 == 0 && !refill(bits_)) return std::move(failure_);
      small[kCodeLengthOrder[i]] = static_cast<uint8_t>(bits_.take(3));
    }
    CodeLengths code;
    if (!code.build(small, true)) return damaged("no code of code lengths");
    std::array<uint8_t, kMostLiterals + kMostDistances> lengths{};
    for (unsigned i = 0; i < literals + distances;) {
      if (!bits_.has(kLongestLength) && !refill(bits_)) return std::move(failure_);
      const unsigned symbol = code.decode(bits_);
      if (bits_.is_past_end()) return ends_early();
      if (symbol < 16) {
        lengths[i++] = static_cast<uint8_t>(symbol);
        continue;
      }
      if (symbol == kNoSymbol || (symbol == 16 && i == 0))
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
      if (!refill(bits)) return std::move(failure_);
      unsigned symbol = codes.literals.decode(bits);
      // Of the bits that are there now two more symbols can be decoded, and nothing is behind the
      // end while there is more than one refill takes.
      while (symbol < kEndOfBlock && room - at >= 3 && !bits.is_low()) {
        target[at++] = static_cast<std::byte>(symbol);
        symbol = codes.literals.decode(bits);
        if (symbol < kEndOfBlock) {
          target[at++] = static_cast<std::byte>(symbol);
          symbol = codes.literals.decode(bits);
        }
        bits.refill();
      }
      if (bits.is_past_end()) return ends_early();
      if (symbol < kEndOfBlock) {
        if (at == room && !drain(at)) return full();
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
      if (distance >= kWord && room - at >= length + kWord) {
        copy_words(target + at, distance, length);
        at += length;
        continue;
      }
      for (size_t left = length;;) {
        const size_t taken = std::min(left, room - at);
        copy(target + at, distance, taken);
        at += taken;
        left -= taken;
        if (left == 0) break;
        if (!drain(at)) return full();
      }
    }
  }

  // Up to a word more than `length`, of bytes from a word before at least.
  static void copy_words(std::byte* to, size_t distance, size_t length) {
    const std::byte* const end = to + length;
    do {
      std::memcpy(to, to - distance, kWord);
      to += kWord;
    } while (to < end);
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
    return std::move(failure_);
  }

  InflateStream* const stream_ = nullptr;
  const std::unique_ptr<std::byte[]> input_, output_;
  Bits bits_;
  const std::span<std::byte> target_;
  size_t at_ = 0;       // in the target
  size_t kept_ = 0;     // bytes at its start that were given away, for distances to lead to
  uint64_t given_ = 0;  // bytes that were given away
  uint64_t fed_ = 0;    // deflated bytes that were read
  bool is_full_ = false;
  bool has_more_ = false;  // the stream may have bytes that were not read
  Status failure_;
  Codes own_;
};

}  // namespace

Result<Inflated> inflate(ByteSpan deflated, std::span<std::byte> target) {
  Inflated done;
  TRY(inflate(deflated, target, done));
  return done;
}

Status inflate(ByteSpan deflated, std::span<std::byte> target, Inflated& done) {
  return Inflation(deflated, target).run(done);
}

Result<Inflated> inflate(InflateStream& stream) {
  Inflated done;
  TRY(std::make_unique<Inflation>(stream)->run(done));
  return done;
}

}  // namespace torchmap
