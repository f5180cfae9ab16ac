#include "core/archive/zip_directory.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "core/archive/zip_layout.h"

namespace torchmap {

namespace {

constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint32_t kEnd64Signature = 0x06064b50;
constexpr uint32_t kLocatorSignature = 0x07064b50;
constexpr size_t kEndSize = 22;
constexpr size_t kEnd64Size = 56;
constexpr size_t kLocatorSize = 20;
constexpr uint16_t kMax16 = 0xFFFF;
// Where the record is looked for first: most archives have no comment, or a short one.
constexpr size_t kNearEnd = 1024;

// An end record, with the numbers of its zip64 companion where there is one.
struct EndRecord {
  uint64_t start = 0;  // bytes: the first of the end records; the directory ends here or before
  uint64_t disk = 0;
  uint64_t directory_disk = 0;
  uint64_t disk_count = 0;        // entries on this disk
  uint64_t count = 0;             // entries
  uint64_t directory_size = 0;    // bytes
  uint64_t directory_offset = 0;  // bytes, as written
};

EndRecord parse_end(const std::byte* at, uint64_t start) {
  EndRecord end;
  end.start = start;
  end.disk = load_le<uint16_t>(at + 4);
  end.directory_disk = load_le<uint16_t>(at + 6);
  end.disk_count = load_le<uint16_t>(at + 8);
  end.count = load_le<uint16_t>(at + 10);
  end.directory_size = load_le<uint32_t>(at + 12);
  end.directory_offset = load_le<uint32_t>(at + 16);
  return end;
}

EndRecord parse_end64(const std::byte* at, uint64_t start) {
  EndRecord end;
  end.start = start;
  end.disk = load_le<uint32_t>(at + 16);
  end.directory_disk = load_le<uint32_t>(at + 20);
  end.disk_count = load_le<uint64_t>(at + 24);
  end.count = load_le<uint64_t>(at + 32);
  end.directory_size = load_le<uint64_t>(at + 40);
  end.directory_offset = load_le<uint64_t>(at + 48);
  return end;
}

bool saturated(const EndRecord& end) {
  return end.disk == kMax16 || end.directory_disk == kMax16 || end.disk_count == kMax16 ||
         end.count == kMax16 || end.directory_size == kMax32 || end.directory_offset == kMax32;
}

// Whether every number of the short record is the long one's, or says that only the long one has
// it.
bool agree(const EndRecord& end, const EndRecord& end64) {
  const auto same = [](uint64_t narrow, uint64_t wide, uint64_t most) {
    return narrow == wide || narrow == most;
  };
  return same(end.disk, end64.disk, kMax16) &&
         same(end.directory_disk, end64.directory_disk, kMax16) &&
         same(end.disk_count, end64.disk_count, kMax16) && same(end.count, end64.count, kMax16) &&
         same(end.directory_size, end64.directory_size, kMax32) &&
         same(end.directory_offset, end64.directory_offset, kMax32);
}

Result<bool> signature_at(Source& source, uint64_t offset, uint32_t signature) {
  std::array<std::byte, 4> bytes;
  if (!fits(offset, bytes.size(), source.size())) return false;
  TRY(source.read(offset, bytes));
  return load_le<uint32_t>(bytes.data()) == signature;
}

// The end record at `end`, widened by the zip64 record that a locator right before it leads to.
Result<EndRecord> widen(Source& source, const EndRecord& end) {
  if (end.start < kLocatorSize) return end;
  const uint64_t locator_start = end.start - kLocatorSize;
  TRY_ASSIGN(const bool located, signature_at(source, locator_start, kLocatorSignature));
  if (!located) return end;  // exactly 65,535 records need no zip64 record
  std::array<std::byte, kLocatorSize> locator;
  TRY(source.read(locator_start, locator));

  // The place the locator names, or, in an archive that something was put in front of, right before
  // the locator.
  const uint64_t named = load_le<uint64_t>(locator.data() + 8);
  for (const uint64_t start : {named, locator_start - kEnd64Size}) {
    if (!fits(start, kEnd64Size, locator_start)) continue;
    std::array<std::byte, kEnd64Size> bytes;
    TRY(source.read(start, bytes));
    if (load_le<uint32_t>(bytes.data()) != kEnd64Signature) continue;
    const EndRecord end64 = parse_end64(bytes.data(), start);
    if (agree(end, end64)) return end64;
    return Status(Code::kBadArchive, "the archive's end record and its zip64 end record disagree")
        .at(start);
  }
  if (!saturated(end)) return end;
  return Status(Code::kBadArchive, "the archive's zip64 end record is missing").at(named);
}

// Where the directory lies that `end` speaks of.
Result<ZipDirectory> place(Source& source, const EndRecord& end) {
  if (end.disk != 0 || end.directory_disk != 0 || end.disk_count != end.count) {
    return Status(Code::kBadArchive, "the archive is one part of several, which torch never writes")
        .at(end.start);
  }
  const uint64_t size = end.directory_size;
  const uint64_t offset = end.directory_offset;
  if (!fits(offset, size, end.start)) {
    const uint64_t needed = checked_add(offset, size).value_or(UINT64_MAX);
    return Status(Code::kBadArchive, "the archive's records should end at byte " +
                                         std::to_string(needed) + " but its end record stands at " +
                                         std::to_string(end.start) +
                                         ": bytes are missing, or the record is wrong")
        .at(end.start);
  }
  if (end.count == 0 && size == 0) return ZipDirectory{offset, 0, 0, 0};
  // The place as written wins, as in torch.
  TRY_ASSIGN(const bool written, signature_at(source, offset, kEntrySignature));
  if (written) return ZipDirectory{offset, size, end.count, 0};
  // Right before the end records, when something was put in front of the archive.
  TRY_ASSIGN(const bool shifted, signature_at(source, end.start - size, kEntrySignature));
  if (shifted) return ZipDirectory{end.start - size, size, end.count, end.start - size - offset};
  return Status(Code::kBadArchive, "the archive's list of records is not where its end record says")
      .at(offset);
}

Result<ZipDirectory> follow(Source& source, const EndRecord& end) {
  TRY_ASSIGN(const EndRecord wide, widen(source, end));
  return place(source, wide);
}

Status missing_end(const Source& source) {
  return Status(Code::kTruncated,
                "the file ends after " + std::to_string(source.size()) +
                    " bytes without the archive's end record, likely an incomplete download");
}

}  // namespace

// Searched from the back, since the record ends with a comment of any bytes, and mostly stands
// right at the end. As in torch, what follows the comment does not matter as long as the record
// stays within reach.
Result<ZipDirectory> find_zip_directory(Source& source) {
  const uint64_t size = source.size();
  Status failure;
  std::vector<std::byte> tail;
  for (const size_t reach : {kNearEnd, kEndSize + kMax16}) {
    const size_t searched = tail.size();
    tail.resize(static_cast<size_t>(std::min<uint64_t>(size, reach)));
    if (tail.size() == searched) break;
    TRY(source.read(size - tail.size(), tail));
    for (size_t i = tail.size() - searched; i-- > 0;) {
      if (tail[i] != std::byte{'P'} || tail.size() - i < kEndSize) continue;
      if (load_le<uint32_t>(&tail[i]) != kEndSignature) continue;
      const size_t after = tail.size() - i - kEndSize;
      const size_t comment = load_le<uint16_t>(&tail[i + 20]);
      if (comment > after) continue;

      auto found = follow(source, parse_end(&tail[i], size - tail.size() + i));
      if (found.ok()) {
        // An end record of nothing proves itself only by ending the file.
        if (found->count == 0 && comment != after) continue;
        if (found->shift == 0) return found;
        // What stands in front must not be an archive, too: torch would mix the two up, and the end
        // record of an archive inside a record would pass for that of its broken host.
        TRY_ASSIGN(const bool joined, signature_at(source, 0, kLocalSignature));
        if (!joined) return found;
        if (comment != after) continue;
        return Status(Code::kBadArchive, "two archives stand one behind the other in this file")
            .at(found->shift);
      }
      if (found.status().code() != Code::kBadArchive) return found;
      // Of the signatures that led nowhere, the one that ends the file is the archive's own.
      if (comment == after && failure.ok()) failure = std::move(found).status();
    }
  }
  if (!failure.ok()) return failure;
  return missing_end(source);
}

}  // namespace torchmap
