#include "core/archive/seven_zip.h"

#include <algorithm>
#include <array>

#include "core/archive/crc32.h"
#include "core/archive/filters.h"
#include "core/archive/gzip.h"
#include "core/archive/lzma.h"
#include "core/archive/seven_zip_header.h"
#include "core/text.h"

namespace torchmap {
namespace {

constexpr uint64_t kCopy = 0x00, kLzma2Id = 0x21, kLzmaId = 0x030101, kDeflate = 0x040108,
                   kAes = 0x06F10701;

struct Method {
  uint64_t id;
  const char* name;
};
// Methods.txt of the LZMA SDK.
constexpr Method kOtherMethods[] = {
    {0x0303011B, "BCJ2"}, {0x030401, "PPMd"},        {0x040109, "Deflate64"},
    {0x040202, "BZip2"},  {0x04F71101, "Zstandard"},
};

// Filters had longer ids once: those from x86 to SPARC.
uint64_t filter_id(uint64_t id) {
  constexpr std::array<uint64_t, 6> kOld{0x03030103, 0x03030205, 0x03030401,
                                         0x03030501, 0x03030701, 0x03030805};
  constexpr uint64_t kFirst = 0x04;
  const auto found = std::find(kOld.begin(), kOld.end(), id);
  return found == kOld.end() ? id : kFirst + static_cast<uint64_t>(found - kOld.begin());
}

// A header may be packed, and the header of that again; and it has no more bytes than these and for
// each byte of the archive.
constexpr int kMostHeaders = 4;
constexpr uint64_t kMostHeaderBytes = uint64_t{1} << 23, kSmallHeaderBytes = uint64_t{1} << 20,
                   kMostRatio = 64;

std::string method_name(uint64_t id) {
  if (id == kCopy) return "Copy";
  if (id == kLzmaId) return "LZMA";
  if (id == kLzma2Id) return "LZMA2";
  if (id == kDeflate) return "Deflate";
  if (const char* const name = filter_name(filter_id(id))) return name;
  const auto found = std::find_if(std::begin(kOtherMethods), std::end(kOtherMethods),
                                  [&](const Method& method) { return method.id == id; });
  return found == std::end(kOtherMethods) ? "method " + std::to_string(id) : found->name;
}

Status not_read(std::span<const SevenZipCoder> coders) {
  std::string names;
  for (const SevenZipCoder& coder : coders) {
    if (coder.id == kAes) return Status(Code::kUnsupportedCompression, "it is encrypted");
    names += (names.empty() ? "" : " and ") + method_name(coder.id);
  }
  return Status(Code::kUnsupportedCompression,
                "it is packed with " + names + ", which is not read");
}

Status copy(Feed& feed, uint64_t size, Unpacked& out) {
  while (size > 0) {
    TRY_ASSIGN(const std::span<std::byte> room, out.room());
    const auto wanted = static_cast<size_t>(std::min<uint64_t>(room.size(), size));
    TRY_ASSIGN(const size_t count, feed.read(room.first(wanted)));
    if (count == 0) return Status(Code::kTruncated, "the packed bytes end early");
    out.fill(count);
    size -= count;
  }
  return {};
}

}  // namespace

Status SevenZip::unpack(Source& source, const SevenZipFolder& folder, Unpacked& out) const {
  const Limits limits;
  SevenZipHeader header(ByteSpan(header_).subspan(folder.method_at), source.size(), limits);
  TRY_ASSIGN(const SevenZipMethods methods, header.methods());
  const std::span<const SevenZipCoder> coders(methods.coders);
  const auto can_be_undone = [](const SevenZipCoder& coder) {
    return is_filter(filter_id(coder.id), coder.properties);
  };
  if (!methods.is_chain || !std::all_of(coders.begin() + 1, coders.end(), can_be_undone))
    return not_read(coders);
  const uint64_t id = coders[0].id;
  const ByteSpan properties = coders[0].properties;
  Feed feed(source, folder.offset,
            folder.offset + std::min(folder.packed_size, source.size() - folder.offset));
  Status outcome;
  if (id == kCopy) {
    outcome = copy(feed, folder.size, out);
  } else if (id == kDeflate) {
    outcome = unpack_deflate(feed, out);
  } else if (id == kLzma2Id && properties.size() == 1) {
    outcome = unpack_lzma2(feed, std::to_integer<unsigned>(properties[0]), out);
  } else if (id == kLzmaId && properties.size() == 5) {
    TRY_ASSIGN(const LzmaProperties known, lzma_properties(std::to_integer<unsigned>(properties[0]),
                                                           load_le<uint32_t>(&properties[1])));
    outcome = unpack_lzma(feed, known, folder.size, out);
  } else {
    return not_read(coders);
  }
  for (const SevenZipCoder& filter : coders.subspan(1))
    undo_filter(filter_id(filter.id), filter.properties, out.from(0));
  TRY(std::move(outcome));
  if (out.size() == folder.size) return {};
  return Status(Code::kBadRecord, std::to_string(out.size()) +
                                      " bytes come out where the archive "
                                      "says " +
                                      std::to_string(folder.size));
}

Result<SevenZip> SevenZip::read(Source& source, const Limits& limits,
                                const std::atomic<bool>* cancelled) {
  // Magic, version, CRC of what follows: where the header is, its size, its CRC.
  std::array<std::byte, kSevenZipStart> start;
  if (source.size() < start.size())
    return Status(Code::kTruncated, "the 7-Zip archive ends in its first bytes");
  TRY(source.read(0, start));
  const ByteSpan place = ByteSpan(start).subspan(12);
  const auto offset = load_le<uint64_t>(place.data()), size = load_le<uint64_t>(&place[8]);
  if (load_le<uint32_t>(&start[8]) != crc32(0, place))
    return Status(Code::kChecksumMismatch,
                  "where the header of the 7-Zip archive is does not match its checksum");
  SevenZip archive;
  archive.end_ = kSevenZipStart;
  if (size == 0) return archive;
  const uint64_t behind = source.size() - kSevenZipStart;
  if (!fits(offset, size, behind))
    return Status(Code::kTruncated, "the header of the 7-Zip archive is not there");
  const uint64_t most = std::min(
      kMostHeaderBytes,
      kSmallHeaderBytes + checked_mul(source.size(), kMostRatio).value_or(kMostHeaderBytes));
  if (size > most) {
    return Status(Code::kUnsupportedCompression,
                  "the header of the 7-Zip archive has " + std::to_string(size) + " bytes");
  }
  archive.header_.resize(static_cast<size_t>(size));
  TRY(source.read(kSevenZipStart + offset, archive.header_));
  if (load_le<uint32_t>(&place[16]) != crc32(0, archive.header_))
    return Status(Code::kChecksumMismatch,
                  "the header of the 7-Zip archive does not match its checksum");
  for (int i = 0; i < kMostHeaders; ++i) {
    archive.end_ = kSevenZipStart + offset + size;
    SevenZipHeader header(archive.header_, source.size(), limits);
    TRY_ASSIGN(const uint64_t kind, header.number());
    if (kind == kPlainHeader) {
      TRY(header.read(archive));
      return archive;
    }
    if (kind != kPackedHeader) break;
    TRY(header.streams(archive));
    if (archive.folders_.empty()) return archive;
    Unpacked made(std::min(most, archive.folders_[0].size), cancelled);
    if (Status outcome = archive.unpack(source, archive.folders_[0], made); !outcome.ok()) {
      Failure& failure = outcome.failure();
      failure.message = "the header of the 7-Zip archive cannot be unpacked: " + failure.message;
      return outcome;
    }
    const std::optional<uint32_t> wanted = archive.folders_[0].crc;
    if (wanted && *wanted != crc32(0, made.bytes()))
      return Status(Code::kChecksumMismatch,
                    "the header of the 7-Zip archive does not match its checksum");
    archive = SevenZip();
    archive.header_.assign(made.bytes().begin(), made.bytes().end());
  }
  return Status(Code::kBadArchive, "the header of the 7-Zip archive is none");
}

std::string SevenZip::name(const SevenZipMember& member) const {
  std::string text;
  if (member.name_at == SevenZipMember::kNone) return text;
  const auto unit_at = [&](size_t at) { return load_le<uint16_t>(&header_[at]); };
  for (size_t at = member.name_at; unit_at(at) != 0; at += 2) {
    uint32_t point = unit_at(at);
    const uint32_t next = unit_at(at + 2);
    if (point >> 10 == 0xD800 >> 10 && next >> 10 == 0xDC00 >> 10) {
      point = 0x10000 + ((point & 0x3FF) << 10) + (next & 0x3FF);
      at += 2;
    }
    append_utf8(text, point);
  }
  return text;
}

}  // namespace torchmap
