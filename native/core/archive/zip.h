// The records of a zip archive, read as torch's own reader reads them.
// Facts: PyTorch caffe2/serialize/inline_container.cc (v2.13) and APPNOTE 6.3.10.
//
// Local headers are never believed for sizes: torch writes zeros there, and its zip64 fields are
// not conforming. A local header is read only to find where the payload starts.
//
// Stricter than torch where two readers could see two archives in one file: a name stored twice,
// payloads that share bytes, entries beyond the count, and a local name that is not the directory's
// are refused.
#pragma once

#include <algorithm>
#include <atomic>
#include <map>
#include <string_view>
#include <vector>

#include "core/limits.h"
#include "core/source/source.h"

namespace torchmap {

class Cursor;
struct ZipDirectory;

struct Record {
  std::string_view name;       // as stored, root directory included; lives as long as the source
  uint64_t header_offset = 0;  // bytes: local header
  uint64_t stored_size = 0;    // bytes in the file
  uint64_t size = 0;           // bytes once inflated; equals stored_size when not deflated
  uint64_t end = 0;            // bytes: where the next record or the directory starts
  uint32_t crc = 0;            // CRC-32 of the directory; 0 means absent unless the record is empty
  uint16_t flags = 0;
  uint16_t method = 0;  // 0 stored, 8 deflated
  bool link = false;    // the directory says that it is a symbolic link
  bool cut = false;     // salvaged, and its end was not found: the sizes are what is there
};

// kChecksumMismatch about a record whose inflated bytes have another CRC-32 than it says.
Status crc_mismatch(const Record& record, uint32_t found);
// A deflated record, inflated by the caller.
struct InflatedRecord {
  std::string_view name;  // as in the archive
  ByteSpan bytes;
};

class ZipArchive {
 public:
  static constexpr uint32_t kNone = 0xFFFFFFFF;

  // Reads and checks the directory: kTruncated when the end record is missing, kBadArchive when it
  // or the directory is wrong, kLimitRecords. Local headers are not looked at.
  static Result<ZipArchive> read(Source& source, const Limits& limits);

  // The same of the first `count` records alone, unless they have very long names. Of the others
  // nothing is known: a record that is here may be one of them, too, or share its bytes with one.
  static Result<ZipArchive> read_first(Source& source, const ZipDirectory& place, uint64_t count);

  // The same from local headers, of an archive whose directory is missing or damaged
  // (zip_salvage.cc). kBadArchive, kLimitRecords, kCancelled.
  static Result<ZipArchive> salvage(Source& source, const Limits& limits,
                                    const std::atomic<bool>* cancelled);

  // kChecksumMismatch when the payload of a stored record is not what its CRC-32 was made of. Reads
  // it once, however often it is asked.
  Status check_crc(Source& source, uint32_t record, const std::atomic<bool>* cancelled);

  // In the order of the directory.
  const std::vector<Record>& records() const { return records_; }

  // Text before the first '/' of the first record, without the slash; empty when that record lies
  // at the top.
  std::string_view root() const { return root_; }

  // Index of the record `<root>/<name>` (or `<name>` when the root is empty), or kNone.
  // Exact, else ignoring ASCII case as torch does.
  uint32_t find(std::string_view name) const;

  // The same of `data/<key>`.
  uint32_t find_data(std::string_view key) const;

  // `name` of a record without the root, or nothing for a record outside the root.
  std::optional<std::string_view> name_in_root(const Record& record) const;

  // Bytes of a record's local header that payload_offset() reads.
  static uint64_t header_bytes(const Record& record);

  // Offset in bytes of the first payload byte. Reads the local header: kBadRecord, naming the
  // record, when it is not this record's or leaves the payload no room.
  Result<uint64_t> payload_offset(Source& source, uint32_t record) const;

  // The bytes of a record as stored, so still deflated where `method` is 8.
  // kUnsupportedCompression when they are encrypted or compressed in another way.
  Result<ByteSpan> payload(Source& source, uint32_t record) const;

  // Start in bytes of the central directory: no payload reaches beyond it.
  uint64_t directory_offset() const { return directory_offset_; }
  // Behind it; the same where the archive was salvaged.
  uint64_t directory_end() const { return std::max(directory_end_, directory_offset_); }

 private:
  Status read_entries(Cursor& cursor, uint64_t count, uint64_t shift);
  Status check_end(Cursor& cursor) const;
  Status bound_payloads();
  Status index_names();

  std::vector<Record> records_;
  std::string_view root_;
  uint64_t directory_offset_ = 0, directory_end_ = 0;
  // Open addressing by the hash of names without case; a power of two long. The rest of the hash
  // stands beside the index, so that a name is looked at only when it very likely is the one.
  struct Slot {
    uint32_t record = kNone;
    uint32_t tag = 0;
  };
  std::vector<Slot> table_;
  std::vector<uint32_t> numbered_;     // the record of data/<number>, where that is its name
  std::map<uint32_t, uint32_t> crcs_;  // of the records that were checked
};

}  // namespace torchmap
