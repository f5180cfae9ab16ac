#include "core/archive/seven_zip_header.h"

#include <algorithm>
#include <array>

namespace torchmap {
namespace {

// Ids of properties (7zFormat.txt).
struct Property {
  enum Id : uint64_t {
    kEnd = 0x00,
    kArchiveProperties = 0x02,
    kMainStreams = 0x04,
    kFiles = 0x05,
    kPackInfo = 0x06,
    kUnpackInfo = 0x07,
    kSubStreams = 0x08,
    kSize = 0x09,
    kCrc = 0x0A,
    kFolder = 0x0B,
    kUnpackSize = 0x0C,
    kStreamCounts = 0x0D,
    kEmptyStream = 0x0E,
    kNames = 0x11,
    kAttributes = 0x15,
  };
};

// As many as 7-Zip reads (7zArcIn.c).
constexpr uint64_t kMostCoders = 32;

Status header_ends() {
  return Status(Code::kTruncated, "the header of the 7-Zip archive ends early");
}
Status header_broken(const std::string& what) {
  return Status(Code::kBadArchive, "the header of the 7-Zip archive has " + what);
}

// One bit for each, the highest first; `may_be_all`: unless a byte in front says that all are set.
Result<std::vector<bool>> read_flags(Cursor& cursor, uint64_t count, bool may_be_all) {
  if (may_be_all) {
    const auto all = cursor.read<uint8_t>();
    if (!all) return header_ends();
    if (*all != 0) return std::vector<bool>(static_cast<size_t>(count), true);
  }
  const auto bits = cursor.take(count / 8 + (count % 8 == 0 ? 0 : 1));
  if (!bits) return header_ends();
  std::vector<bool> flags(static_cast<size_t>(count));
  for (size_t i = 0; i < flags.size(); ++i)
    flags[i] = (std::to_integer<unsigned>((*bits)[i / 8]) >> (7 - i % 8) & 1) != 0;
  return flags;
}

// Links, as they are known on Unix and on Windows.
Status read_attributes(Cursor cursor, std::vector<SevenZipMember>& members) {
  constexpr uint32_t kHasMode = 0x8000, kReparsePoint = 0x400, kTypeBits = 0xF000, kLink = 0xA000;
  TRY_ASSIGN(const std::vector<bool> has, read_flags(cursor, members.size(), true));
  const auto external = cursor.read<uint8_t>();
  if (!external) return header_ends();
  if (*external != 0) return header_broken("attributes that are elsewhere");
  for (size_t i = 0; i < members.size(); ++i) {
    if (!has[i]) continue;
    const auto bits = cursor.read<uint32_t>();
    if (!bits) return header_ends();
    members[i].is_link = (*bits & kReparsePoint) != 0 ||
                         ((*bits & kHasMode) != 0 && (*bits >> 16 & kTypeBits) == kLink);
  }
  return {};
}

}  // namespace

// As many bytes follow the first as it has ones at its top.
Result<uint64_t> SevenZipHeader::number() {
  const auto first = cursor_.read<uint8_t>();
  if (!first) return header_ends();
  const auto following = static_cast<unsigned>(std::countl_one(*first));
  const auto bytes = cursor_.take(following);
  if (!bytes) return header_ends();
  uint64_t value = 0;
  for (unsigned i = 0; i < following; ++i)
    value |= std::to_integer<uint64_t>((*bytes)[i]) << (8 * i);
  if (following < 7) value |= (*first & ((uint64_t{1} << (7 - following)) - 1)) << (8 * following);
  return value;
}

Result<uint64_t> SevenZipHeader::count(uint64_t most, const char* what) {
  TRY_ASSIGN(const uint64_t found, number());
  if (found > most)
    return header_broken(std::to_string(found) + " " + what + " where it has bytes for " +
                         std::to_string(most));
  return found;
}

Status SevenZipHeader::digests(uint64_t count, std::vector<std::optional<uint32_t>>& sums) {
  if (count > cursor_.remaining() * uint64_t{8}) return header_ends();
  TRY_ASSIGN(const std::vector<bool> has, read_flags(cursor_, count, true));
  sums.clear();
  for (const bool one : has) {
    sums.emplace_back();
    if (!one) continue;
    sums.back() = cursor_.read<uint32_t>();
    if (!sums.back()) return header_ends();
  }
  return {};
}

Status SevenZipHeader::skip_property() {
  TRY_ASSIGN(const uint64_t size, number());
  return cursor_.take(size) ? Status() : header_ends();
}

Status SevenZipHeader::packed_streams(std::vector<uint64_t>& sizes, uint64_t& offset) {
  TRY_ASSIGN(offset, number());
  // Each has a byte and a size.
  const uint64_t most = std::min<uint64_t>(cursor_.remaining(), archive_size_);
  TRY_ASSIGN(const uint64_t streams, count(most, "packed streams"));
  for (;;) {
    TRY_ASSIGN(const uint64_t id, number());
    if (id == Property::kEnd) break;
    if (id == Property::kSize) {
      for (uint64_t i = 0; i < streams; ++i) {
        TRY_ASSIGN(const uint64_t size, number());
        sizes.push_back(size);
      }
    } else if (id == Property::kCrc) {
      std::vector<std::optional<uint32_t>> sums;
      TRY(digests(streams, sums));
    } else {
      TRY(skip_property());
    }
  }
  return sizes.size() == streams ? Status() : header_broken("packed streams without a size");
}

Result<SevenZipMethods> SevenZipHeader::methods() {
  constexpr unsigned kIdBytes = 0x0F, kIsComplex = 0x10, kHasProperties = 0x20, kReserved = 0xC0;
  TRY_ASSIGN(const uint64_t total, count(kMostCoders, "methods in a folder"));
  SevenZipMethods found;
  found.coders.resize(static_cast<size_t>(total));
  uint64_t inputs = 0, outputs = 0;
  for (SevenZipCoder& coder : found.coders) {
    const auto flags = cursor_.read<uint8_t>();
    if (!flags) return header_ends();
    const auto id = cursor_.take(*flags & kIdBytes);
    if (!id) return header_ends();
    if ((*flags & kReserved) != 0 || id->size() > sizeof coder.id)
      return header_broken("a method that has no meaning");
    for (const std::byte byte : *id) coder.id = coder.id << 8 | std::to_integer<uint64_t>(byte);
    if ((*flags & kIsComplex) != 0) {
      TRY_ASSIGN(coder.inputs, count(kMostCoders, "streams in a method"));
      TRY_ASSIGN(coder.outputs, count(kMostCoders, "streams in a method"));
    }
    if ((*flags & kHasProperties) != 0) {
      TRY_ASSIGN(const uint64_t size, number());
      const auto properties = cursor_.take(size);
      if (!properties) return header_ends();
      coder.properties = *properties;
    }
    inputs += coder.inputs;
    outputs += coder.outputs;
  }
  // All that come out go in elsewhere, but for the last one.
  if (outputs == 0 || inputs < outputs || outputs > kMostCoders)
    return header_broken("a folder nothing comes out of");
  std::array<uint64_t, kMostCoders> goes_to{};
  uint64_t from = 0, to = 0;  // bits of streams
  for (uint64_t i = 1; i < outputs; ++i) {
    TRY_ASSIGN(const uint64_t input, number());
    TRY_ASSIGN(const uint64_t output, number());
    if (input >= inputs || output >= outputs || (from >> output & 1) != 0)
      return header_broken("methods that do not fit together");
    goes_to[static_cast<size_t>(output)] = input;
    from |= uint64_t{1} << output;
    if (input < 64) to |= uint64_t{1} << input;
  }
  found.last = static_cast<uint64_t>(std::countr_one(from));
  found.packed = inputs - (outputs - 1);
  for (uint64_t i = 0; found.packed > 1 && i < found.packed; ++i) {
    TRY_ASSIGN([[maybe_unused]] const uint64_t which, number());
  }
  if (inputs != total || outputs != total) return found;
  // In the order in which they are undone.
  std::vector<SevenZipCoder> chain;
  auto next = static_cast<uint64_t>(std::countr_one(to));
  while (next < total && chain.size() < total) {
    chain.push_back(found.coders[static_cast<size_t>(next)]);
    if (next == found.last) break;
    next = goes_to[static_cast<size_t>(next)];
  }
  found.is_chain = chain.size() == total && next == found.last;
  if (found.is_chain) found.coders = std::move(chain);
  return found;
}

Status SevenZipHeader::folders(SevenZip& archive, std::span<const uint64_t> sizes,
                               uint64_t offset) {
  TRY_ASSIGN(uint64_t id, number());
  if (id != Property::kFolder) return header_broken("no folders where they should be");
  TRY_ASSIGN(const uint64_t total, count(sizes.size(), "folders"));
  const auto external = cursor_.read<uint8_t>();
  if (!external) return header_ends();
  if (*external != 0) return header_broken("folders that are elsewhere");
  struct Outputs {
    uint64_t count, last;
  };
  std::vector<Outputs> outputs;
  auto at = checked_add(offset, kSevenZipStart);
  for (uint64_t i = 0; i < total; ++i) {
    SevenZipFolder folder;
    folder.method_at = static_cast<uint32_t>(cursor_.position());
    uint64_t count = 0;
    TRY_ASSIGN(const SevenZipMethods found, methods());
    for (const SevenZipCoder& coder : found.coders) count += coder.outputs;
    outputs.push_back({count, found.last});
    if (found.packed > sizes.size()) return header_broken("fewer packed streams than folders need");
    if (!at || *at > archive_size_) return header_broken("a folder behind the end of the archive");
    folder.offset = *at;
    folder.packed_size = sizes[0];
    for (const uint64_t size : sizes.first(static_cast<size_t>(found.packed)))
      at = at ? checked_add(*at, size) : at;
    sizes = sizes.subspan(static_cast<size_t>(found.packed));
    archive.folders_.push_back(folder);
  }
  TRY_ASSIGN(id, number());
  if (id != Property::kUnpackSize) return header_broken("folders without a size");
  for (size_t i = 0; i < outputs.size(); ++i) {
    for (uint64_t k = 0; k < outputs[i].count; ++k) {
      TRY_ASSIGN(const uint64_t size, number());
      if (k == outputs[i].last) archive.folders_[i].size = size;
    }
  }
  for (;;) {
    TRY_ASSIGN(id, number());
    if (id == Property::kEnd) return {};
    if (id != Property::kCrc) {
      TRY(skip_property());
      continue;
    }
    std::vector<std::optional<uint32_t>> sums;
    TRY(digests(total, sums));
    for (size_t i = 0; i < sums.size(); ++i) archive.folders_[i].crc = sums[i];
  }
}

// What lies in folders one behind the other; one in each unless it `is_said`.
Status SevenZipHeader::parts(SevenZip& archive, bool is_said) {
  uint64_t id = Property::kEnd;
  if (is_said) {
    TRY_ASSIGN(id, number());
  }
  if (id == Property::kStreamCounts) {
    // All but one of each folder have a size.
    uint64_t most = cursor_.remaining() + archive.folders_.size();
    for (SevenZipFolder& folder : archive.folders_) {
      TRY_ASSIGN(const uint64_t streams, count(most, "streams in a folder"));
      folder.streams = static_cast<uint32_t>(streams);
      most -= streams;
    }
    TRY_ASSIGN(id, number());
  }
  const bool has_sizes = id == Property::kSize;
  uint64_t unsummed = 0;
  for (uint32_t i = 0; i < archive.folders_.size(); ++i) {
    const SevenZipFolder& folder = archive.folders_[i];
    uint64_t at = 0;
    for (uint32_t k = 0; k < folder.streams; ++k) {
      SevenZipMember part;
      part.folder = i;
      part.offset = at;
      part.size = folder.size - at;
      if (k + 1 < folder.streams) {
        if (!has_sizes) return header_broken("streams without a size");
        TRY_ASSIGN(part.size, number());
        if (part.size > folder.size - at) return header_broken("streams longer than their folder");
      }
      if (folder.streams == 1) part.crc = folder.crc;
      unsummed += part.crc ? 0 : 1;
      at += part.size;
      parts_.push_back(part);
    }
  }
  if (has_sizes) {
    TRY_ASSIGN(id, number());
  }
  while (id != Property::kEnd) {
    if (id == Property::kCrc) {
      std::vector<std::optional<uint32_t>> sums;
      TRY(digests(unsummed, sums));
      auto next = sums.begin();
      for (SevenZipMember& part : parts_)
        if (!part.crc && next != sums.end()) part.crc = *next++;
    } else {
      TRY(skip_property());
    }
    TRY_ASSIGN(id, number());
  }
  return {};
}

Status SevenZipHeader::streams(SevenZip& archive) {
  std::vector<uint64_t> sizes;
  uint64_t offset = 0;
  TRY_ASSIGN(uint64_t id, number());
  if (id == Property::kPackInfo) {
    TRY(packed_streams(sizes, offset));
    TRY_ASSIGN(id, number());
  }
  if (id == Property::kUnpackInfo) {
    TRY(folders(archive, sizes, offset));
    TRY_ASSIGN(id, number());
  }
  const bool is_said = id == Property::kSubStreams;
  TRY(parts(archive, is_said));
  if (is_said) {
    TRY_ASSIGN(id, number());
  }
  return id == Property::kEnd ? Status() : header_broken("streams that do not end");
}

Status SevenZipHeader::read(SevenZip& archive) {
  for (;;) {
    TRY_ASSIGN(const uint64_t id, number());
    if (id == Property::kEnd) break;
    if (id == Property::kArchiveProperties) {
      for (;;) {
        TRY_ASSIGN(const uint64_t property, number());
        if (property == Property::kEnd) break;
        TRY(skip_property());
      }
    } else if (id == Property::kMainStreams && archive.folders_.empty()) {
      TRY(streams(archive));
    } else if (id == Property::kFiles && archive.members_.empty()) {
      TRY(files(archive));
    } else {
      return header_broken("a part with the id " + std::to_string(id) + ", which is not read");
    }
  }
  // Streams that no file is in.
  archive.members_.insert(archive.members_.end(), parts_.begin(), parts_.end());
  return {};
}

Status SevenZipHeader::files(SevenZip& archive) {
  // Each has a name, of two bytes at least.
  TRY_ASSIGN(const uint64_t total, count(cursor_.remaining() / 2, "files"));
  if (total > limits_.records)
    return limit_reached(Code::kLimitRecords, "records", limits_.records, total);
  archive.members_.resize(static_cast<size_t>(total));
  std::vector<bool> is_empty(archive.members_.size());
  for (;;) {
    TRY_ASSIGN(const uint64_t id, number());
    if (id == Property::kEnd) break;
    TRY_ASSIGN(const uint64_t size, number());
    if (id == Property::kNames) {
      TRY(names(archive, size));
      continue;
    }
    const auto property = cursor_.take(size);
    if (!property) return header_ends();
    Cursor inside(*property);
    if (id == Property::kEmptyStream) {
      TRY_ASSIGN(is_empty, read_flags(inside, total, false));
    } else if (id == Property::kAttributes) {
      TRY(read_attributes(inside, archive.members_));
    }
  }
  size_t used = 0;
  for (size_t i = 0; i < archive.members_.size(); ++i) {
    if (is_empty[i]) continue;
    if (used == parts_.size()) return header_broken("more files than streams");
    SevenZipMember& member = archive.members_[i];
    const SevenZipMember& part = parts_[used++];
    member.folder = part.folder;
    member.offset = part.offset;
    member.size = part.size;
    member.crc = part.crc;
  }
  parts_.erase(parts_.begin(), parts_.begin() + static_cast<std::ptrdiff_t>(used));
  return {};
}

// Of two bytes a character, each up to a zero.
Status SevenZipHeader::names(SevenZip& archive, uint64_t size) {
  const size_t begin = cursor_.position();
  const auto property = cursor_.take(size);
  if (!property || property->empty()) return header_ends();
  if ((*property)[0] != std::byte{}) return header_broken("names that are elsewhere");
  size_t at = 1;
  for (SevenZipMember& member : archive.members_) {
    member.name_at = static_cast<uint32_t>(begin + at);
    for (uint16_t unit = 1; unit != 0; at += 2) {
      if (property->size() - at < 2) return header_ends();
      unit = load_le<uint16_t>(&(*property)[at]);
    }
  }
  return {};
}

}  // namespace torchmap
