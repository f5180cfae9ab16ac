#include "core/archive/lzma.h"

#include <memory>

#include "core/archive/lzma_symbols.h"

namespace torchmap {

namespace lzma {
namespace {

Status broken(const char* what) {
  return Status(Code::kBadRecord, std::string("the LZMA stream has ") + what);
}

class LzmaDecoder {
 public:
  void set_properties(const LzmaProperties& properties) {
    properties_ = properties;
    properties_.dictionary = std::max(properties.dictionary, kLeastDictionary);
  }
  void reset_state() {
    probabilities_.fill(kEven);
    state_ = 0;
    repeats_ = {};
  }
  // Distances lead no further back than what `out` has now.
  void reset_dictionary(const Unpacked& out) { start_ = out.size(); }

  Status begin(Feed& feed) {
    TRY_ASSIGN(const ByteSpan head, feed.take(kRangeBytes));
    if (head[0] != std::byte{}) return broken("a first byte that is not 0");
    range_ = UINT32_MAX;
    code_ = 0;
    for (const std::byte byte : head.subspan(1))
      code_ = code_ << 8 | std::to_integer<uint32_t>(byte);
    pending_ = 0;
    is_marked_ = false;
    return {};
  }

  // Until there are `until` bytes, or to the marker of the end.
  Status run(Feed& feed, Unpacked& out, uint64_t until) {
    while (out.size() < until && !is_marked_) {
      TRY_ASSIGN(const std::span<std::byte> room, out.room());
      const uint64_t wanted = std::min<uint64_t>(room.size(), until - out.size());
      TRY(piece(feed, out, room.first(static_cast<size_t>(wanted))));
    }
    return {};
  }
  // Only the marker may come.
  Status run_to_marker(Feed& feed, Unpacked& out) {
    if (pending_ > 0) return broken("more bytes than it says");
    while (!is_marked_) TRY(piece(feed, out, {}));
    return {};
  }
  // Whether nothing is left of what was read.
  Result<bool> is_over(Feed& feed) {
    if (pending_ > 0) return false;
    if (range_ < kLeastRange) {
      TRY_ASSIGN(const ByteSpan next, feed.take(1));
      range_ <<= 8;
      code_ = code_ << 8 | std::to_integer<uint32_t>(next[0]);
    }
    return code_ == 0;
  }
  bool is_marked() const { return is_marked_; }

 private:
  // As much as there is room for, or as the bytes ahead give.
  Status piece(Feed& feed, Unpacked& out, std::span<std::byte> room) {
    TRY_ASSIGN(ByteSpan ahead, feed.ahead(kSymbolBytes));
    std::array<std::byte, 2 * kSymbolBytes> tail{};
    const bool is_tail = ahead.size() < kSymbolBytes;
    if (is_tail) {
      std::copy(ahead.begin(), ahead.end(), tail.begin());
      ahead = ByteSpan(tail).first(ahead.size());
    }
    // A symbol that begins no later does not read beyond what can be read.
    const std::byte* const end = ahead.data() + ahead.size();
    const std::byte* const last = is_tail ? end : end - kSymbolBytes;
    Symbols symbols{{ahead.data(), range_, code_}, probabilities_.data(), state_, repeats_};
    size_t made = 0;
    const char* const fault = decode(symbols, end, last, out.size() - start_, room, made);
    state_ = symbols.state;
    repeats_ = symbols.repeats;
    range_ = symbols.coder.range;
    code_ = symbols.coder.code;
    out.fill(made);
    if (symbols.coder.at > end) return Status(Code::kTruncated, "the LZMA stream ends early");
    feed.skip(static_cast<uint64_t>(symbols.coder.at - ahead.data()));
    return fault == nullptr ? Status() : broken(fault);
  }

  // Puts `made` bytes to the room, before which there are `before` others. Says what is broken.
  const char* decode(Symbols& shared, const std::byte* end, const std::byte* last, uint64_t before,
                     std::span<std::byte> room, size_t& made) {
    // Of its own, so that the compiler knows that no byte of the room is one of its members.
    Symbols symbols = shared;
    const uint64_t places = (uint64_t{1} << properties_.place) - 1,
                   literal_places = (uint64_t{1} << properties_.literal_place) - 1;
    const unsigned context = properties_.literal_context;
    const uint64_t dictionary = properties_.dictionary;
    std::byte *to = room.data(), *const room_end = to + room.size();
    unsigned pending = pending_;
    const char* fault = nullptr;
    if (pending > 0) pending -= copy(to, room_end, symbols.repeats[0], pending);
    for (uint64_t at = before + static_cast<size_t>(to - room.data());
         symbols.coder.at <= last && (to < room_end || room.empty()) && pending == 0;
         at = before + static_cast<size_t>(to - room.data())) {
      const auto place = static_cast<unsigned>(at & places);
      if (!symbols.bit(kIsMatch + symbols.state * kPlaces + place)) {
        if (room.empty()) {
          fault = "more bytes than it says";
          break;
        }
        const unsigned previous = at == 0 ? 0 : std::to_integer<unsigned>(*(to - 1));
        const unsigned which =
            kLiterals + kLiteralSize * ((static_cast<unsigned>(at & literal_places) << context) +
                                        (previous >> (8 - context)));
        const bool is_after = symbols.state >= kLiteralStates && symbols.repeats[0] < at;
        const std::byte byte = is_after
                                   ? symbols.literal_after(which, *(to - symbols.repeats[0] - 1))
                                   : symbols.literal(which);
        symbols.after_literal();
        if (symbols.coder.at > end) break;
        *to++ = byte;
        continue;
      }
      const unsigned length = symbols.match(place);
      if (symbols.coder.at > end) break;
      if (symbols.repeats[0] == kMarker) {
        is_marked_ = true;
        break;
      }
      if (room.empty()) {
        fault = "more bytes than it says";
        break;
      }
      if (symbols.repeats[0] >= std::min(at, dictionary)) {
        fault = "a distance beyond its start";
        break;
      }
      pending = length - copy(to, room_end, symbols.repeats[0], length);
    }
    pending_ = pending;
    made = static_cast<size_t>(to - room.data());
    shared.coder = symbols.coder;
    shared.state = symbols.state;
    shared.repeats = symbols.repeats;
    return fault;
  }

  // What is copied may have been written by the same copy. Gives how many there was room for.
  static unsigned copy(std::byte*& to, const std::byte* end, uint32_t repeat, unsigned length) {
    const size_t distance = size_t{repeat} + 1;
    const size_t count = std::min<size_t>(length, static_cast<size_t>(end - to));
    const std::byte* const from = to - distance;
    if (distance >= count) {
      if (count > 0) std::memcpy(to, from, count);
    } else if (distance == 1) {
      std::memset(to, std::to_integer<int>(*from), count);
    } else {
      for (size_t i = 0; i < count; ++i) to[i] = from[i];
    }
    to += count;
    return static_cast<unsigned>(count);
  }

  LzmaProperties properties_;
  std::array<uint16_t, kAll> probabilities_;
  unsigned state_ = 0;
  std::array<uint32_t, 4> repeats_{};
  uint32_t range_ = 0, code_ = 0;
  unsigned pending_ = 0;    // bytes of a match for which there was no room
  bool is_marked_ = false;  // the marker of the end came
  uint64_t start_ = 0;      // where the dictionary begins in what came out
};

}  // namespace
}  // namespace lzma

Result<LzmaProperties> lzma_properties(unsigned byte, uint32_t dictionary) {
  LzmaProperties found;
  found.literal_context = byte % 9;
  found.literal_place = byte / 9 % 5;
  found.place = byte / 45;
  found.dictionary = dictionary;
  if (found.place > lzma::kLongestPlace) return lzma::broken("properties that have no meaning");
  if (found.literal_context + found.literal_place > lzma::kMostLiteralBits)
    return Status(Code::kUnsupportedCompression,
                  "the LZMA stream has properties that Python does not read either");
  return found;
}

Status unpack_lzma(Feed& feed, const LzmaProperties& properties, std::optional<uint64_t> size,
                   Unpacked& out) {
  const auto decoder = std::make_unique<lzma::LzmaDecoder>();
  TRY(decoder->begin(feed));
  decoder->set_properties(properties);
  decoder->reset_state();
  decoder->reset_dictionary(out);
  const size_t before = out.size();
  const uint64_t until = size ? checked_add(before, *size).value_or(UINT64_MAX) : UINT64_MAX;
  TRY(decoder->run(feed, out, until));
  TRY_ASSIGN(bool over, decoder->is_over(feed));
  if (!over && !decoder->is_marked()) {
    TRY(decoder->run_to_marker(feed, out));
    TRY_ASSIGN(over, decoder->is_over(feed));
  }
  if (size && out.size() - before < *size) return lzma::broken("fewer bytes than it says");
  return over ? Status() : lzma::broken("an end that is none");
}

// One chunk after another, each with a byte in front that says what it is.
Status unpack_lzma2(Feed& feed, unsigned size, Unpacked& out) {
  constexpr unsigned kMostSize = 40;
  constexpr unsigned kEnd = 0, kStoredAnew = 1, kStored = 2, kPacked = 0x80, kNewState = 0xA0,
                     kNewProperties = 0xC0, kAllNew = 0xE0;
  if (size > kMostSize)
    return Status(Code::kBadRecord, "the dictionary of the LZMA2 stream has no size");
  const uint32_t dictionary = size == kMostSize ? UINT32_MAX : (2 | (size & 1)) << (size / 2 + 11);
  std::unique_ptr<lzma::LzmaDecoder> decoder;
  const uint64_t end = feed.end();
  bool is_new = true, has_properties = false;
  for (;;) {
    TRY(out.stopped());
    TRY_ASSIGN(const ByteSpan first, feed.take(1));
    const auto control = std::to_integer<unsigned>(first[0]);
    if (control == kEnd) return {};
    if (decoder == nullptr) decoder = std::make_unique<lzma::LzmaDecoder>();
    if (control >= kAllNew || control == kStoredAnew) {
      decoder->reset_dictionary(out);
      is_new = false;
      has_properties = false;
    } else if (is_new) {
      return lzma::broken("no first chunk");
    }
    TRY_ASSIGN(const ByteSpan low, feed.take(2));
    uint64_t length = std::to_integer<unsigned>(low[0]) << 8 | std::to_integer<unsigned>(low[1]);
    ++length;
    if (control < kPacked) {
      if (control > kStored) return lzma::broken("a chunk of an unknown kind");
      while (length > 0) {
        TRY_ASSIGN(const std::span<std::byte> room, out.room());
        const auto wanted = static_cast<size_t>(std::min<uint64_t>(room.size(), length));
        TRY_ASSIGN(const size_t count, feed.read(room.first(wanted)));
        if (count == 0) return Status(Code::kTruncated, "the LZMA stream ends early");
        out.fill(count);
        length -= count;
      }
      continue;
    }
    length += uint64_t{control & 0x1F} << 16;
    TRY_ASSIGN(const ByteSpan packed, feed.take(2));
    const uint64_t packed_length =
        1 + (std::to_integer<uint64_t>(packed[0]) << 8 | std::to_integer<uint64_t>(packed[1]));
    if (control >= kNewProperties) {
      TRY_ASSIGN(const ByteSpan byte, feed.take(1));
      TRY_ASSIGN(const LzmaProperties properties,
                 lzma_properties(std::to_integer<unsigned>(byte[0]), dictionary));
      decoder->set_properties(properties);
      has_properties = true;
    } else if (!has_properties) {
      return lzma::broken("a chunk without properties");
    }
    if (control >= kNewState) decoder->reset_state();
    // What is cut is decoded as far as it goes.
    const uint64_t chunk_end = feed.position() + std::min(packed_length, feed.left());
    feed.end_at(chunk_end);
    Status outcome = decoder->begin(feed);
    if (outcome.ok()) outcome = decoder->run(feed, out, out.size() + length);
    if (outcome.ok()) {
      TRY_ASSIGN(const bool over, decoder->is_over(feed));
      if (!over || decoder->is_marked() || feed.left() > 0)
        outcome = lzma::broken("a chunk that is not as long as it says");
    }
    feed.end_at(end);
    TRY(std::move(outcome));
  }
}

// Properties, four bytes of how far distances lead, eight of how much comes out or of ones alone.
constexpr size_t kFileHeader = 13;

bool looks_like_lzma(ByteSpan head) {
  // liblzma, alone_decoder.c (picky): the sizes that writers give dictionaries, and fewer than
  // 256 GiB. The stream begins with 0.
  if (head.size() < kFileHeader + lzma::kRangeBytes || head[kFileHeader] != std::byte{})
    return false;
  const auto dictionary = load_le<uint32_t>(&head[1]);
  const auto size = load_le<uint64_t>(&head[5]);
  const bool is_size = size == UINT64_MAX || size < uint64_t{1} << 38;
  const bool is_dictionary =
      dictionary == UINT32_MAX || (dictionary >= lzma::kLeastDictionary &&
                                   (std::has_single_bit(dictionary) ||
                                    (dictionary % 3 == 0 && std::has_single_bit(dictionary / 3))));
  return is_size && is_dictionary &&
         lzma_properties(std::to_integer<unsigned>(head[0]), dictionary).ok();
}

Status unpack_lzma_file(Feed& feed, Unpacked& out) {
  TRY_ASSIGN(const ByteSpan head, feed.take(kFileHeader));
  const auto size = load_le<uint64_t>(&head[5]);
  TRY_ASSIGN(const LzmaProperties properties,
             lzma_properties(std::to_integer<unsigned>(head[0]), load_le<uint32_t>(&head[1])));
  return unpack_lzma(feed, properties,
                     size == UINT64_MAX ? std::nullopt : std::optional<uint64_t>(size), out);
}

}  // namespace torchmap
