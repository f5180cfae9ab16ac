#include "core/archive/zip_salvage.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "core/archive/crc32.h"
#include "core/archive/zip_layout.h"
#include "core/cursor.h"
#include "core/hash.h"

namespace torchmap {
namespace {

// Signatures, as the bytes that they are.
constexpr std::string_view kLocalStart = "PK\3\4", kDescriptorStart = "PK\7\10",
                           kEntryStart = "PK\1\2";
constexpr uint64_t kDescriptorSize = 16, kDescriptor64Size = 24;
constexpr uint16_t kHasDescriptor = 1 << 3;
// Flags that torch and common tools write (APPNOTE 4.4.4): deflate options, descriptor, UTF-8.
constexpr uint16_t kCommonFlags = 1 << 1 | 1 << 2 | kHasDescriptor | 1 << 11;

constexpr size_t kChunk = size_t{1} << 20;
// A root is the name of a file, so no longer than those; a longer one is not compared.
constexpr size_t kMaxRoot = 255;
// Bytes that must be seen at once behind a signature.
constexpr size_t kSeen = kLocalSize + kMaxRoot + 1;

// A local header, and what a descriptor said of it.
struct Header {
  uint64_t offset = 0;   // bytes
  uint64_t payload = 0;  // bytes
  uint64_t stored_size = 0, size = 0;
  uint64_t end = 0;  // behind payload and descriptor; 0 while it is unknown
  uint32_t crc = 0;
  uint16_t name_size = 0;
  uint16_t flags = 0, method = 0;
};

struct OffsetHash {
  uint64_t seed = hash_seed();
  size_t operator()(uint64_t offset) const {
    return static_cast<size_t>(hash_mix(0, offset, seed));
  }
};

class LocalScan {
 public:
  LocalScan(Source& source, const Limits& limits, const std::atomic<bool>* cancelled)
      : source_(source), limits_(limits), cancelled_(cancelled) {}

  Status run();
  Result<FoundRecords> choose();

 private:
  Status signature(uint64_t offset, std::string_view seen);
  Status header(uint64_t offset, std::string_view seen);
  void descriptor(uint64_t offset, std::string_view seen);
  bool end_record(uint64_t offset, uint64_t length, uint32_t crc, uint64_t stored_size,
                  uint64_t size);
  Status widen(Header& header);
  Result<bool> starts_with(uint64_t offset, std::string_view signature);

  Source& source_;
  const Limits& limits_;
  const std::atomic<bool>* cancelled_;
  std::vector<Header> headers_;
  std::unordered_map<uint64_t, uint32_t, OffsetHash> by_payload_;  // only those with descriptors
  std::optional<std::string> root_;                                // with its slash; or empty
};

// Looks at every "PK" once.
Status LocalScan::run() {
  std::string buffer;
  for (uint64_t start = 0; start < source_.size(); start += kChunk) {
    if (cancelled_ != nullptr && cancelled_->load(std::memory_order_relaxed))
      return Status(Code::kCancelled, "the caller asked to stop");
    buffer.resize(static_cast<size_t>(std::min<uint64_t>(kChunk + kSeen, source_.size() - start)));
    TRY(source_.read(start, std::as_writable_bytes(std::span(buffer))));
    const std::string_view seen = buffer;
    for (size_t at = seen.find("PK"); at < kChunk; at = seen.find("PK", at + 1))
      TRY(signature(start + at, seen.substr(at)));
  }
  return {};
}

Status LocalScan::signature(uint64_t offset, std::string_view seen) {
  if (seen.starts_with(kLocalStart)) return header(offset, seen);
  if (seen.starts_with(kDescriptorStart)) descriptor(offset, seen);
  return {};
}

Status LocalScan::header(uint64_t offset, std::string_view seen) {
  if (seen.size() < kLocalSize) return {};
  Header found;
  found.offset = offset;
  found.flags = load_le<uint16_t>(&seen[6]);
  found.method = load_le<uint16_t>(&seen[8]);
  found.crc = load_le<uint32_t>(&seen[14]);
  found.stored_size = load_le<uint32_t>(&seen[18]);
  found.size = load_le<uint32_t>(&seen[22]);
  found.name_size = load_le<uint16_t>(&seen[26]);
  const uint64_t before_payload = kLocalSize + found.name_size + load_le<uint16_t>(&seen[28]);
  if (!fits(offset, before_payload, source_.size())) return {};
  found.payload = offset + before_payload;
  // Bytes of a tensor can look like a signature by chance, hardly like all of this.
  if ((found.flags & ~kCommonFlags) != 0) return {};
  if (found.method != kStored && found.method != kDeflated) return {};
  const std::string_view name = seen.substr(kLocalSize, found.name_size);
  if (name.empty()) return {};
  if (!root_) {
    const size_t slash = name.substr(0, kMaxRoot + 1).find('/');
    root_ =
        slash == std::string_view::npos ? std::string() : std::string(name.substr(0, slash + 1));
  }
  if (!name.starts_with(*root_)) return {};

  if (headers_.size() >= std::min<uint64_t>(limits_.records, ZipArchive::kNone - 1)) {
    return limit_reached(Code::kLimitRecords, "records", limits_.records, headers_.size() + 1);
  }
  if ((found.flags & kHasDescriptor) != 0)
    by_payload_.try_emplace(found.payload, static_cast<uint32_t>(headers_.size()));
  headers_.push_back(found);
  return {};
}

// crc u32 · stored size · size, both u32, or u64 in zip64.
void LocalScan::descriptor(uint64_t offset, std::string_view seen) {
  if (seen.size() < kDescriptorSize) return;
  const auto crc = load_le<uint32_t>(&seen[4]);
  const auto ends_at = [&](size_t length) {
    return seen.size() == length || seen.substr(std::min(length, seen.size())).starts_with("PK");
  };
  const auto narrow = [&] {
    return end_record(offset, kDescriptorSize, crc, load_le<uint32_t>(&seen[8]),
                      load_le<uint32_t>(&seen[12]));
  };
  const auto wide = [&] {
    return seen.size() >= kDescriptor64Size &&
           end_record(offset, kDescriptor64Size, crc, load_le<uint64_t>(&seen[8]),
                      load_le<uint64_t>(&seen[16]));
  };
  // What follows tells the two apart, if it is there.
  if (!ends_at(kDescriptorSize) && ends_at(kDescriptor64Size)) {
    if (!wide()) narrow();
  } else if (!narrow()) {
    wide();
  }
}

bool LocalScan::end_record(uint64_t offset, uint64_t length, uint32_t crc, uint64_t stored_size,
                           uint64_t size) {
  if (stored_size > offset) return false;
  const auto known = by_payload_.find(offset - stored_size);
  if (known == by_payload_.end()) return false;
  Header& found = headers_[known->second];
  if (found.end != 0 || (found.method == kStored && stored_size != size)) return false;
  found.crc = crc;
  found.stored_size = stored_size;
  found.size = size;
  found.end = offset + length;
  return true;
}

Result<bool> LocalScan::starts_with(uint64_t offset, std::string_view signature) {
  std::array<char, 4> bytes;
  if (!fits(offset, signature.size(), source_.size())) return false;
  const std::span<char> target(bytes.data(), signature.size());
  TRY(source_.read(offset, std::as_writable_bytes(target)));
  return std::string_view(target.data(), target.size()) == signature;
}

// The sizes that stand in the zip64 field of a header without a descriptor (APPNOTE 4.5.3: both).
Status LocalScan::widen(Header& header) {
  const uint64_t start = header.offset + kLocalSize + header.name_size;
  std::vector<std::byte> extra(static_cast<size_t>(header.payload - start));
  TRY(source_.read(start, extra));
  Cursor fields(extra);
  while (fields.remaining() >= 4) {
    const uint16_t id = *fields.read<uint16_t>();
    const std::optional<ByteSpan> body = fields.take(*fields.read<uint16_t>());
    if (!body) break;
    if (id != 1 || body->size() < 16) continue;
    header.size = load_le<uint64_t>(body->data());
    header.stored_size = load_le<uint64_t>(body->data() + 8);
    break;
  }
  return {};
}

// Goes from header to header: one inside the payload of a record before it is none.
Result<FoundRecords> LocalScan::choose() {
  FoundRecords found;
  found.end = source_.size();
  uint64_t at = 0;
  for (size_t i = 0; i < headers_.size(); ++i) {
    Header& header = headers_[i];
    if (header.offset < at) continue;
    if (!found.records.empty() && found.records.back().cut) {
      Record& before = found.records.back();
      before.stored_size = before.size = header.offset - before.end;
    }
    if ((header.flags & kHasDescriptor) == 0) {
      if (header.stored_size == kMax32 || header.size == kMax32) TRY(widen(header));
      const bool is_plain = header.method != kStored || header.size == header.stored_size;
      if (is_plain && fits(header.payload, header.stored_size, source_.size())) {
        const uint64_t end = header.payload + header.stored_size;
        // A header inside the payload is believed only where nothing starts behind it.
        TRY_ASSIGN(const bool followed, starts_with(end, "PK"));
        if (followed || i + 1 == headers_.size() || headers_[i + 1].offset >= end) header.end = end;
      }
    }
    Record record;
    record.header_offset = header.offset;
    record.flags = header.flags;
    record.method = header.method;
    record.cut = header.end == 0;
    TRY_ASSIGN(const ByteSpan name, source_.view(header.offset + kLocalSize, header.name_size));
    record.name = as_text(name);
    if (record.cut) {
      record.end = header.payload;  // until the next header is known
      record.stored_size = record.size = source_.size() - header.payload;
      at = header.payload;
    } else {
      record.crc = header.crc;
      record.stored_size = header.stored_size;
      record.size = header.size;
      at = std::max(header.end, header.payload);
    }
    found.records.push_back(record);
    if (record.cut) continue;
    TRY_ASSIGN(const bool directory, starts_with(at, kEntryStart));
    if (!directory) continue;
    found.end = at;
    break;
  }
  return found;
}

}  // namespace

Result<FoundRecords> find_local_records(Source& source, const Limits& limits,
                                        const std::atomic<bool>* cancelled) {
  LocalScan scan(source, limits, cancelled);
  TRY(scan.run());
  return scan.choose();
}

Result<ZipArchive> ZipArchive::salvage(Source& source, const Limits& limits,
                                       const std::atomic<bool>* cancelled) {
  TRY_ASSIGN(FoundRecords found, find_local_records(source, limits, cancelled));
  ZipArchive archive;
  archive.records_ = std::move(found.records);
  archive.directory_offset_ = found.end;
  TRY(archive.bound_payloads());
  TRY(archive.index_names());
  return archive;
}

Status ZipArchive::check_crc(Source& source, uint32_t index, const std::atomic<bool>* cancelled) {
  const Record& record = records_[index];
  if (record.crc == 0 && record.size != 0) return {};
  auto known = crcs_.find(index);
  if (known == crcs_.end()) {
    TRY_ASSIGN(uint64_t at, payload_offset(source, index));
    const uint64_t end = at + record.stored_size;
    std::vector<std::byte> buffer(static_cast<size_t>(std::min<uint64_t>(kChunk, end - at)));
    uint32_t crc = 0;
    for (; at < end; at += buffer.size()) {
      if (cancelled != nullptr && cancelled->load(std::memory_order_relaxed))
        return Status(Code::kCancelled, "the caller asked to stop");
      buffer.resize(static_cast<size_t>(std::min<uint64_t>(buffer.size(), end - at)));
      TRY(source.read(at, buffer));
      crc = crc32(crc, buffer);
    }
    known = crcs_.emplace(index, crc).first;
  }
  if (known->second == record.crc) return {};
  return crc_mismatch(record, known->second);
}

Status crc_mismatch(const Record& record, uint32_t found) {
  return Status(Code::kChecksumMismatch, "the " + std::to_string(record.size) +
                                             " bytes of record '" + std::string(record.name) +
                                             "' have CRC-32 " + std::to_string(found) +
                                             " but the archive says " + std::to_string(record.crc))
      .at(record.header_offset)
      .in(record.name);
}

}  // namespace torchmap
