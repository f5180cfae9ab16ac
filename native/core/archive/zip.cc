#include "core/archive/zip.h"

#include <algorithm>
#include <array>
#include <memory>
#include <string>

#include "core/archive/zip_directory.h"
#include "core/archive/zip_layout.h"
#include "core/cursor.h"

namespace torchmap {

namespace {

constexpr uint32_t kDigestSignature = 0x05054b50;
// Bytes that few entries of the directory are longer than.
constexpr uint64_t kLongEntry = 1024;
// Encrypted; strongly encrypted; local header masked (APPNOTE 4.4.4).
constexpr uint16_t kEncrypted = 1 << 0 | 1 << 6 | 1 << 13;

Status bad_entry(const Record& record, std::string what) {
  return Status(Code::kBadArchive, "the directory's entry for this record " + std::move(what))
      .in(record.name);
}

// Replaces the saturated ones of a record's numbers by those of the zip64 field of `extra`, which
// holds just these, in this order (APPNOTE 4.5.3).
Status widen(Record& record, ByteSpan extra) {
  Cursor fields(extra);
  while (fields.remaining() >= 4) {
    const uint16_t id = *fields.read<uint16_t>();
    const uint16_t length = *fields.read<uint16_t>();
    const std::optional<ByteSpan> body = fields.take(length);
    if (!body) break;
    if (id != 1) continue;
    Cursor wide(*body);
    for (uint64_t* number : {&record.size, &record.stored_size, &record.header_offset}) {
      if (*number != kMax32) continue;
      const std::optional<uint64_t> value = wide.read<uint64_t>();
      if (!value) return bad_entry(record, "has a zip64 field that is too short");
      *number = *value;
    }
    return {};
  }
  return bad_entry(record, "needs a zip64 field and has none");
}

// Reads the entry at the cursor. `directory_offset` bounds what the record may claim.
Status read_entry(Cursor& cursor, uint64_t shift, uint64_t directory_offset, Record& record) {
  const std::optional<ByteSpan> head = cursor.take(kEntrySize);
  if (!head || load_le<uint32_t>(head->data()) != kEntrySignature) {
    return Status(Code::kBadArchive, "the archive's directory holds fewer records than it counts");
  }
  const std::byte* at = head->data();
  // Made on Unix, whose file mode is the upper half of the external attributes (APPNOTE 4.4.2.2).
  record.link = at[5] == std::byte{3} && (load_le<uint16_t>(at + 40) & 0xF000) == 0xA000;
  record.flags = load_le<uint16_t>(at + 8);
  record.method = load_le<uint16_t>(at + 10);
  record.crc = load_le<uint32_t>(at + 16);
  record.stored_size = load_le<uint32_t>(at + 20);
  record.size = load_le<uint32_t>(at + 24);
  record.header_offset = load_le<uint32_t>(at + 42);

  const std::optional<ByteSpan> name = cursor.take(load_le<uint16_t>(at + 28));
  if (name) record.name = as_text(*name);
  const std::optional<ByteSpan> extra = cursor.take(load_le<uint16_t>(at + 30));
  const std::optional<ByteSpan> comment = cursor.take(load_le<uint16_t>(at + 32));
  if (!name || !extra || !comment) return bad_entry(record, "runs past the directory's end");

  if (std::max({record.size, record.stored_size, record.header_offset}) == kMax32) {
    TRY(widen(record, *extra));
  }
  const std::optional<uint64_t> offset = checked_add(record.header_offset, shift);
  const uint64_t before_payload = kLocalSize + record.name.size();
  if (!offset || !fits(*offset, before_payload, directory_offset) ||
      record.stored_size > directory_offset - *offset - before_payload) {
    return bad_entry(record, "claims " + std::to_string(record.stored_size) + " bytes at byte " +
                                 std::to_string(record.header_offset) +
                                 ", where the archive has not so many");
  }
  record.header_offset = *offset;
  if (record.method == kStored && (record.flags & kEncrypted) == 0 &&
      record.size != record.stored_size) {
    return bad_entry(record, "gives two sizes, " + std::to_string(record.stored_size) + " and " +
                                 std::to_string(record.size) + ", for uncompressed bytes");
  }
  return {};
}

}  // namespace

Result<ZipArchive> ZipArchive::read(Source& source, const Limits& limits) {
  TRY_ASSIGN(const ZipDirectory place, find_zip_directory(source));
  if (place.count > place.size / kEntrySize) {
    return Status(Code::kBadArchive, "the archive counts " + std::to_string(place.count) +
                                         " records in a directory of " +
                                         std::to_string(place.size) + " bytes")
        .at(place.offset);
  }
  const uint64_t most = std::min<uint64_t>(limits.records, kNone - 1);
  if (place.count > most) return limit_reached(Code::kLimitRecords, "records", most, place.count);
  return read_first(source, place, place.count);
}

Result<ZipArchive> ZipArchive::read_first(Source& source, const ZipDirectory& place,
                                          uint64_t count) {
  ZipArchive archive;
  archive.directory_offset_ = place.offset;
  archive.directory_end_ = place.offset + place.size;
  const uint64_t looked_at = count < place.count ? count * kLongEntry : place.size;
  TRY_ASSIGN(const ByteSpan directory, source.view(place.offset, std::min(looked_at, place.size)));
  Cursor cursor(directory);
  TRY(archive.read_entries(cursor, std::min(count, place.count), place.shift));
  if (count >= place.count) TRY(archive.check_end(cursor));
  TRY(archive.bound_payloads());
  TRY(archive.index_names());
  return archive;
}

Status ZipArchive::read_entries(Cursor& cursor, uint64_t count, uint64_t shift) {
  records_.reserve(static_cast<size_t>(count));
  while (records_.size() < count) {
    const uint64_t start = directory_offset_ + cursor.position();
    Status status = read_entry(cursor, shift, directory_offset_, records_.emplace_back());
    if (!status.ok()) return std::move(status).at(start);
  }
  return {};
}

// A reader that walks the directory's bytes would see records here that one who counts does not. A
// digital signature (APPNOTE 4.3.13) is all that may follow.
Status ZipArchive::check_end(Cursor& cursor) const {
  const uint64_t start = directory_offset_ + cursor.position();
  const size_t left = cursor.remaining();
  if (left == 0 || cursor.read<uint32_t>() == kDigestSignature) return {};
  return Status(Code::kBadArchive, "the archive's directory goes on for " + std::to_string(left) +
                                       " bytes after the " + std::to_string(records_.size()) +
                                       " records it counts")
      .at(start);
}

// Finds where each payload must end, and that no two share bytes: a few stored bytes could
// otherwise stand for any number of records. Records without bytes share none.
Status ZipArchive::bound_payloads() {
  std::vector<uint32_t> order;
  order.reserve(records_.size());
  for (uint32_t i = 0; i < records_.size(); ++i) {
    records_[i].end = directory_offset_;
    if (records_[i].stored_size > 0) order.push_back(i);
  }
  const auto by_place = [&](uint32_t a, uint32_t b) {
    return records_[a].header_offset < records_[b].header_offset;
  };
  // Writers list records as they wrote them, so there is hardly ever anything to sort.
  if (!std::is_sorted(order.begin(), order.end(), by_place)) {
    std::sort(order.begin(), order.end(), by_place);
  }
  for (size_t i = 1; i < order.size(); ++i) {
    Record& record = records_[order[i - 1]];
    const Record& next = records_[order[i]];
    record.end = next.header_offset;
    const uint64_t room = record.end - record.header_offset;
    const uint64_t before_payload = kLocalSize + record.name.size();
    if (room < before_payload || room - before_payload < record.stored_size) {
      return Status(Code::kBadArchive,
                    "two records of the archive share bytes: this one, at byte " +
                        std::to_string(record.header_offset) + ", and the one at byte " +
                        std::to_string(next.header_offset))
          .at(record.header_offset)
          .in(record.name);
    }
  }
  return {};
}

uint64_t ZipArchive::header_bytes(const Record& record) { return kLocalSize + record.name.size(); }

Result<uint64_t> ZipArchive::payload_offset(Source& source, uint32_t index) const {
  const Record& record = records_[index];
  const auto bad = [&](std::string what) {
    return Status(Code::kBadRecord, std::move(what)).at(record.header_offset).in(record.name);
  };
  const auto length = static_cast<size_t>(header_bytes(record));
  std::array<std::byte, 256> buffer;
  std::unique_ptr<std::byte[]> large;
  if (length > buffer.size()) large.reset(new std::byte[length]);
  const std::span<std::byte> header(large ? large.get() : buffer.data(), length);
  TRY(source.read(record.header_offset, header));

  if (load_le<uint32_t>(header.data()) != kLocalSignature) {
    return bad("the archive's directory says that this record starts at byte " +
               std::to_string(record.header_offset) + ", but none does");
  }
  // Readers that go by local headers must see the same record as those that go by the directory.
  if (load_le<uint16_t>(header.data() + 26) != record.name.size() ||
      as_text(header.subspan(kLocalSize)) != record.name) {
    return bad("this record bears another name where its bytes are than in the directory");
  }
  if (load_le<uint16_t>(header.data() + 8) != record.method) {
    return bad(
        "this record is compressed in one way by its own header and in another by the "
        "directory");
  }
  const uint64_t extra = load_le<uint16_t>(header.data() + 28);
  const uint64_t payload = record.header_offset + length + extra;
  if (!fits(payload, record.stored_size, record.end)) {
    return bad("this record's " + std::to_string(record.stored_size) + " bytes start at byte " +
               std::to_string(payload) + " and run past byte " + std::to_string(record.end) +
               ", where the next part of the archive starts");
  }
  return payload;
}

Result<ByteSpan> ZipArchive::payload(Source& source, uint32_t index) const {
  const Record& record = records_[index];
  if (record.flags & kEncrypted) {
    return Status(Code::kUnsupportedCompression, "this record is encrypted")
        .at(record.header_offset)
        .in(record.name)
        .about("encryption");
  }
  if (record.method != kStored && record.method != kDeflated) {
    const std::string method = "zip method " + std::to_string(record.method);
    return Status(Code::kUnsupportedCompression, "this record is compressed with " + method +
                                                     "; only stored and deflated records are read")
        .at(record.header_offset)
        .in(record.name)
        .about(method);
  }
  TRY_ASSIGN(const uint64_t offset, payload_offset(source, index));
  return source.view(offset, record.stored_size);
}

}  // namespace torchmap
