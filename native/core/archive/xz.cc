#include "core/archive/xz.h"

#include <algorithm>
#include <array>
#include <vector>

#include "core/archive/crc32.h"
#include "core/archive/filters.h"
#include "core/archive/lzma.h"
#include "core/cursor.h"

namespace torchmap {
namespace {

constexpr std::string_view kXzMagic(
    "\xFD"
    "7zXZ\0",
    6),
    kXzEnd = "YZ";
constexpr size_t kStreamHeader = 12, kStreamFooter = 12;
constexpr uint64_t kLzma2 = 0x21;
constexpr unsigned kCheckCrc32 = 1, kCheckCrc64 = 4;

// CRC-64 of ECMA-182, reflected.
uint64_t crc64(ByteSpan bytes) {
  static constexpr auto kTable = [] {
    std::array<uint64_t, 256> table{};
    for (uint64_t i = 0; i < table.size(); ++i) {
      uint64_t value = i;
      for (int bit = 0; bit < 8; ++bit)
        value = value >> 1 ^ (value % 2 == 0 ? 0 : 0xC96C5795D7870F42);
      table[i] = value;
    }
    return table;
  }();
  uint64_t crc = ~uint64_t{0};
  for (const std::byte byte : bytes)
    crc = kTable[(crc ^ std::to_integer<uint64_t>(byte)) & 0xFF] ^ crc >> 8;
  return ~crc;
}

Status xz_broken(const char* what) {
  return Status(Code::kBadRecord, std::string("the xz stream has ") + what);
}
Status xz_checksum(const char* what) {
  return Status(Code::kChecksumMismatch, std::string("the bytes of ") + what +
                                             " of the xz stream do not match its checksum");
}

// Seven bits a byte, the lowest first; in its only spelling.
template <typename Next>
Result<uint64_t> multibyte(Next&& next) {
  constexpr unsigned kMostBits = 63;
  uint64_t value = 0;
  for (unsigned shift = 0; shift < kMostBits; shift += 7) {
    TRY_ASSIGN(const unsigned byte, next());
    value |= uint64_t{byte & 0x7F} << shift;
    if (byte == 0 && shift > 0) break;
    if (byte < 0x80) return value;
  }
  return xz_broken("a number that is none");
}

class XzStream {
 public:
  XzStream(Feed& feed, Unpacked& out) : feed_(feed), out_(out) {}

  Status run() {
    TRY(header());
    for (;;) {
      TRY_ASSIGN(const ByteSpan size, feed_.ahead(1));
      if (size.empty()) return Status(Code::kTruncated, "the xz stream ends early");
      if (size[0] == std::byte{}) break;
      TRY(block());
    }
    const uint64_t begin = feed_.position();
    TRY(index());
    return footer(feed_.position() - begin);
  }

 private:
  // Sizes of a block, as the index repeats them.
  struct Block {
    uint64_t packed = 0, unpacked = 0;
    bool operator==(const Block&) const = default;
  };

  struct Filter {
    uint64_t id;
    std::vector<std::byte> properties;
  };
  struct BlockHeader {
    std::optional<uint64_t> packed, unpacked;
    std::vector<Filter> filters;  // the first one packs first
    unsigned dictionary = 0;
  };

  Status header() {
    TRY_ASSIGN(const ByteSpan head, feed_.take(kStreamHeader));
    if (!as_text(head).starts_with(kXzMagic)) return xz_broken("no header");
    if (load_le<uint32_t>(&head[8]) != crc32(0, head.subspan(6, 2)))
      return xz_checksum("the header");
    flags_ = {head[6], head[7]};
    check_ = std::to_integer<unsigned>(head[7]);
    if (head[6] != std::byte{} || check_ > 15) return xz_broken("flags that have no meaning");
    return {};
  }

  // Bytes of a checksum, by its kind.
  size_t check_size() const { return check_ == 0 ? 0 : size_t{4} << ((check_ - 1) / 3); }

  Status block() {
    const uint64_t begin = feed_.position();
    TRY_ASSIGN(const ByteSpan first, feed_.ahead(1));
    TRY_ASSIGN(const ByteSpan head, feed_.take((std::to_integer<size_t>(first[0]) + 1) * 4));
    const size_t length = head.size() - 4;
    if (load_le<uint32_t>(&head[length]) != crc32(0, head.first(length)))
      return xz_checksum("a header");
    BlockHeader says;
    TRY(block_header(head.first(length), says));
    const size_t header_size = head.size(), before = out_.size();
    const Status outcome = unpack_lzma2(feed_, says.dictionary, out_);
    for (auto filter = says.filters.rbegin(); filter != says.filters.rend(); ++filter)
      undo_filter(filter->id, filter->properties, out_.from(before));
    if (!outcome.ok()) return Status(outcome.failure());
    const Block made{feed_.position() - begin + check_size(), out_.size() - before};
    if ((says.packed && *says.packed != made.packed - header_size - check_size()) ||
        (says.unpacked && *says.unpacked != made.unpacked))
      return xz_broken("a block that is not as long as it says");
    TRY(padding(made.packed - check_size()));
    blocks_.push_back(made);
    return check(out_.bytes().subspan(before));
  }

  static Status block_header(ByteSpan head, BlockHeader& says) {
    constexpr unsigned kMoreFilters = 3, kReserved = 0x3C, kHasPacked = 0x40, kHasUnpacked = 0x80;
    Cursor cursor(head.subspan(2));
    const auto number = [&] {
      return multibyte([&]() -> Result<unsigned> {
        const auto byte = cursor.read<uint8_t>();
        return byte ? Result<unsigned>(*byte) : xz_broken("a header that is too short");
      });
    };
    const auto flags = std::to_integer<unsigned>(head[1]);
    if ((flags & kReserved) != 0) return xz_broken("flags that have no meaning");
    if ((flags & kHasPacked) != 0) {
      TRY_ASSIGN(says.packed, number());
    }
    if ((flags & kHasUnpacked) != 0) {
      TRY_ASSIGN(says.unpacked, number());
    }
    for (unsigned left = flags & kMoreFilters;; --left) {
      TRY_ASSIGN(const uint64_t id, number());
      TRY_ASSIGN(const uint64_t size, number());
      const auto properties = cursor.take(size);
      if (!properties) return xz_broken("a header that is too short");
      if (id == kLzma2 && size == 1 && left == 0) {
        says.dictionary = std::to_integer<unsigned>((*properties)[0]);
        return {};
      }
      if (!is_filter(id, *properties) || left == 0) {
        const char* const name = filter_name(id);
        return Status(Code::kUnsupportedCompression, std::string("the xz stream has the filter ") +
                                                         (name == nullptr ? "unknown" : name) +
                                                         ", which is not read");
      }
      says.filters.push_back({id, {properties->begin(), properties->end()}});
    }
  }

  Status check(ByteSpan made) {
    TRY_ASSIGN(const ByteSpan sum, feed_.take(check_size()));
    const bool is_wrong =
        (check_ == kCheckCrc32 && load_le<uint32_t>(sum.data()) != crc32(0, made)) ||
        (check_ == kCheckCrc64 && load_le<uint64_t>(sum.data()) != crc64(made));
    return is_wrong ? xz_checksum("a block") : Status();
  }

  // Zeros up to a multiple of four bytes.
  Status padding(uint64_t length) {
    TRY_ASSIGN(const ByteSpan zeros, feed_.take(static_cast<size_t>((4 - length % 4) % 4)));
    const bool is_right =
        std::all_of(zeros.begin(), zeros.end(), [](std::byte b) { return b == std::byte{}; });
    return is_right ? Status() : xz_broken("padding that is not zero");
  }

  Status index() {
    const uint64_t begin = feed_.position();
    uint32_t crc = 0;
    const auto byte = [&]() -> Result<unsigned> {
      TRY_ASSIGN(const ByteSpan next, feed_.take(1));
      crc = crc32(crc, next);
      return std::to_integer<unsigned>(next[0]);
    };
    TRY_ASSIGN([[maybe_unused]] const unsigned zero, byte());
    TRY_ASSIGN(const uint64_t count, multibyte(byte));
    if (count != blocks_.size()) return xz_broken("an index of other blocks");
    for (const Block& made : blocks_) {
      TRY_ASSIGN(const uint64_t packed, multibyte(byte));
      TRY_ASSIGN(const uint64_t unpacked, multibyte(byte));
      if (Block{packed, unpacked} != made) return xz_broken("an index of other blocks");
    }
    while ((feed_.position() - begin) % 4 != 0) {
      TRY_ASSIGN(const unsigned filled, byte());
      if (filled != 0) return xz_broken("padding that is not zero");
    }
    TRY_ASSIGN(const ByteSpan sum, feed_.take(4));
    return load_le<uint32_t>(sum.data()) == crc ? Status() : xz_checksum("the index");
  }

  Status footer(uint64_t index_size) {
    TRY_ASSIGN(const ByteSpan foot, feed_.take(kStreamFooter));
    if (load_le<uint32_t>(foot.data()) != crc32(0, foot.subspan(4, 6)))
      return xz_checksum("the footer");
    if ((uint64_t{load_le<uint32_t>(&foot[4])} + 1) * 4 != index_size || foot[8] != flags_[0] ||
        foot[9] != flags_[1] || as_text(foot.subspan(10)) != kXzEnd)
      return xz_broken("another header than footer");
    return {};
  }

  Feed& feed_;
  Unpacked& out_;
  std::array<std::byte, 2> flags_{};
  unsigned check_ = 0;
  std::vector<Block> blocks_;
};

}  // namespace

Status unpack_xz(Feed& feed, Unpacked& out) {
  for (;;) {
    TRY(XzStream(feed, out).run());
    // Streams may stand one behind the other, with zeros between them.
    const uint64_t end = feed.position();
    for (;;) {
      TRY_ASSIGN(const ByteSpan next, feed.ahead(kXzMagic.size()));
      if (next.size() >= 4 && load_le<uint32_t>(next.data()) == 0) {
        feed.skip(4);
        continue;
      }
      if (as_text(next).starts_with(kXzMagic)) break;
      // Zeros at the end are a part of it.
      if (!next.empty()) feed.seek(end);
      return {};
    }
  }
}

}  // namespace torchmap
