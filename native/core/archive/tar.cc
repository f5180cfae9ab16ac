#include "core/archive/tar.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace torchmap {

namespace {

constexpr size_t kBlock = 512;
// Most bytes of a long name or a pax header. Paths end at 4,096 on Linux; the rest is attributes.
constexpr uint64_t kMaxHeaderText = uint64_t{1} << 20;

// Fields of a header block: where they start and their bytes.
struct Field {
  size_t start;
  size_t length;
};
constexpr Field kName{0, 100};
constexpr Field kSize{124, 12};
constexpr Field kChecksum{148, 8};
constexpr size_t kType = 156;
constexpr Field kMagic{257, 6};
constexpr Field kPrefix{345, 155};

using Block = std::span<const std::byte, kBlock>;

// Text up to the first NUL.
std::string_view text_of(ByteSpan bytes) {
  const std::string_view text = as_text(bytes);
  return text.substr(0, text.find('\0'));
}
std::string_view text_of(Block block, Field field) {
  return text_of(block.subspan(field.start, field.length));
}

// Digits between blanks; no digits mean 0.
std::optional<uint64_t> parse_digits(std::string_view text, int base) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  if (text.empty()) return 0;
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Octal digits or, where the first bit is set, a big-endian integer (GNU, for 8 GiB and more).
std::optional<uint64_t> parse_number(Block block, Field field) {
  const ByteSpan bytes = block.subspan(field.start, field.length);
  const auto first = std::to_integer<uint8_t>(bytes[0]);
  if (first < 0x80) return parse_digits(text_of(bytes), 8);
  if (first != 0x80) return std::nullopt;  // negative, or beyond any file
  uint64_t value = 0;
  for (const std::byte byte : bytes.subspan(1)) {
    if (value >> 55 != 0) return std::nullopt;
    value = value << 8 | std::to_integer<uint8_t>(byte);
  }
  return value;
}

// The sum of the block's bytes, with blanks for the checksum itself. Some old writers summed signed
// bytes.
bool checksum_is_right(Block block) {
  const std::optional<uint64_t> stored = parse_number(block, kChecksum);
  if (!stored) return false;
  int64_t unsigned_sum = 0;
  int64_t signed_sum = 0;
  for (size_t i = 0; i < kBlock; ++i) {
    const bool blank = i >= kChecksum.start && i < kChecksum.start + kChecksum.length;
    const uint8_t byte = blank ? uint8_t{' '} : std::to_integer<uint8_t>(block[i]);
    unsigned_sum += byte;
    signed_sum += static_cast<int8_t>(byte);
  }
  return std::cmp_equal(*stored, unsigned_sum) || std::cmp_equal(*stored, signed_sum);
}

bool is_zero(ByteSpan bytes) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [](std::byte byte) { return byte == std::byte{}; });
}

// What headers of their own say about the member that follows them.
struct Overrides {
  std::optional<std::string> name;
  std::optional<uint64_t> size;
  bool sparse = false;
};

// Applies the pax records "<length> <key>=<value>\n" of `text`. False when they are malformed.
bool apply_pax(std::string_view text, Overrides& next) {
  // Writers may pad with zero bytes.
  while (!text.empty() && text.front() != '\0') {
    size_t length = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
    const size_t digits = static_cast<size_t>(end - text.data());
    if (error != std::errc() || length > text.size() || length < digits + 2) return false;
    std::string_view record = text.substr(digits, length - digits);
    text.remove_prefix(length);
    if (record.front() != ' ' || record.back() != '\n') return false;
    record = record.substr(1, record.size() - 2);
    const size_t equals = record.find('=');
    if (equals == std::string_view::npos) return false;
    const std::string_view key = record.substr(0, equals);
    const std::string_view value = record.substr(equals + 1);
    if (key == "path") next.name = value;
    if (key == "size") {
      next.size = parse_digits(value, 10);
      if (!next.size) return false;
    }
    if (key.starts_with("GNU.sparse.")) next.sparse = true;
  }
  return true;
}

std::string member_name(Block block, const Overrides& next) {
  std::string name;
  if (next.name) {
    name = *next.name;
  } else {
    name = text_of(block, kName);
    // Only POSIX's magic, "ustar" and NUL; GNU's own headers keep other things there.
    const std::string_view prefix = text_of(block, kPrefix);
    const bool posix = as_text(block.subspan(kMagic.start, kMagic.length)) ==
                       std::string_view("ustar\0", kMagic.length);
    if (posix && !prefix.empty()) name = std::string(prefix) + "/" + name;
  }
  while (name.starts_with("./")) name.erase(0, 2);
  return name;
}

// Walks the blocks of one archive.
class Reader {
 public:
  Reader(Source& source, const Limits& limits, std::vector<std::string>* links)
      : source_(source), limits_(limits), links_(links) {}

  Result<std::vector<TarMember>> read() {
    // Other than in a zip, nothing counts the members: the end is a block of zeros or the file's.
    while (offset_ < source_.size()) {
      if (source_.size() - offset_ < kBlock) {
        return bad(Code::kTruncated, "the tar archive ends inside a header");
      }
      TRY(source_.read(offset_, block_));
      if (is_zero(block_)) break;
      TRY(read_header());
    }
    return std::move(members_);
  }

 private:
  // One header and the payload behind it.
  Status read_header() {
    const Block block(block_);
    if (!checksum_is_right(block)) {
      return bad(Code::kBadArchive, "a tar header's checksum is wrong");
    }
    const std::optional<uint64_t> size = parse_number(block, kSize);
    if (!size) return bad(Code::kBadArchive, "a tar header's size is no number");
    switch (static_cast<char>(block[kType])) {
      case 'L':  // GNU: the next member's name
      case 'x':  // pax: records about the next member
        return read_text(*size, static_cast<char>(block[kType]));
      case 'K':  // GNU: the next member's link target
      case 'g':  // pax: records about all members, which hold no names or sizes in practice
        return skip(*size, "a tar header");
      default:
        break;
    }
    const Overrides next = std::exchange(next_, {});
    return read_member(block, next, next.size.value_or(*size));
  }

  Status read_member(Block block, const Overrides& next, uint64_t size) {
    const char type = static_cast<char>(block[kType]);
    const std::string name = member_name(block, next);
    if (type == 'S' || next.sparse) {
      return bad(Code::kBadArchive, "this tar member is stored sparsely, which torch never wrote")
          .in(name);
    }
    // Links, devices, directories and FIFOs have no payload, whatever their size says.
    if (type >= '1' && type <= '6') {
      if (type != '5' && links_ != nullptr && links_->size() < limits_.records)
        links_->push_back(name);
      return skip(0, name);
    }

    const uint64_t payload = offset_ + kBlock;
    TRY(skip(size, name));
    const bool regular = type == '0' || type == '\0' || type == '7';
    if (!regular || name.ends_with('/')) return {};
    if (members_.size() >= limits_.records) {
      return limit_reached(Code::kLimitRecords, "records", limits_.records, members_.size() + 1);
    }
    members_.push_back({name, payload, size});
    return {};
  }

  Status read_text(uint64_t size, char type) {
    if (size > kMaxHeaderText) {
      return bad(Code::kBadArchive, "a tar header has " + std::to_string(size) + " bytes of text");
    }
    const uint64_t payload = offset_ + kBlock;
    const uint64_t header = offset_;
    TRY(skip(size, "a tar header"));
    std::string text(static_cast<size_t>(size), '\0');
    TRY(source_.read(payload, std::as_writable_bytes(std::span(text))));
    if (type == 'L') {
      next_.name = text.substr(0, text.find('\0'));
    } else if (!apply_pax(text, next_)) {
      return Status(Code::kBadArchive, "a tar archive's pax header is malformed").at(header);
    }
    return {};
  }

  // Moves behind the header at offset_ and its payload, which must lie inside the file; only the
  // zeros that fill its last block may be missing.
  Status skip(uint64_t size, std::string_view name) {
    const uint64_t payload = offset_ + kBlock;
    const uint64_t left = source_.size() - payload;
    if (size > left) {
      return bad(Code::kTruncated, "the tar archive ends after " + std::to_string(left) + " of " +
                                       std::to_string(size) + " bytes of this member")
          .in(name);
    }
    const uint64_t padding = (kBlock - size % kBlock) % kBlock;
    offset_ = payload + size + std::min(padding, left - size);
    return {};
  }

  Status bad(Code code, std::string what) const {
    return Status(code, std::move(what)).at(offset_);
  }

  Source& source_;
  const Limits& limits_;
  std::vector<std::string>* links_;
  uint64_t offset_ = 0;  // bytes: the next header
  std::array<std::byte, kBlock> block_;
  Overrides next_;
  std::vector<TarMember> members_;
};

}  // namespace

bool looks_like_tar(ByteSpan head) {
  return head.size() >= kBlock && !is_zero(head.first<kBlock>()) &&
         checksum_is_right(head.first<kBlock>());
}

Result<std::vector<TarMember>> read_tar(Source& source, const Limits& limits,
                                        std::vector<std::string>* links) {
  return Reader(source, limits, links).read();
}

const TarMember* find_member(const std::vector<TarMember>& members, std::string_view name) {
  const auto found = std::find_if(members.rbegin(), members.rend(),
                                  [&](const TarMember& member) { return member.name == name; });
  return found == members.rend() ? nullptr : &*found;
}

}  // namespace torchmap
