// 7-Zip archives: folders, which are streams packed by one method after another, and the files that
// lie in them one behind the other. Facts: 7zFormat.txt and 7zArcIn.c of Igor Pavlov's LZMA SDK.
#pragma once

#include <string>
#include <vector>

#include "core/archive/unpacking.h"
#include "core/limits.h"

namespace torchmap {

struct SevenZipFolder {
  uint64_t offset = 0, packed_size = 0;  // bytes of the archive, which need not all be there
  uint64_t size = 0;                     // bytes that come out
  uint32_t method_at = 0;                // where the header says how it is packed
  std::optional<uint32_t> crc;
  uint32_t streams = 1;  // that lie in it
};

struct SevenZipMember {
  static constexpr uint32_t kNone = UINT32_MAX;
  uint32_t folder = kNone;        // none where it is empty
  uint32_t name_at = kNone;       // where the header has its name
  uint64_t offset = 0, size = 0;  // bytes in what comes out of the folder
  std::optional<uint32_t> crc;
  bool is_link = false;
};

class SevenZip {
 public:
  // kTruncated, kBadArchive, kBadRecord, kChecksumMismatch, kUnsupportedCompression, kLimitRecords;
  // fails as reading does.
  static Result<SevenZip> read(Source& source, const Limits& limits,
                               const std::atomic<bool>* cancelled);

  // In the order of the archive, in which members of one folder lie one behind the other.
  const std::vector<SevenZipMember>& members() const { return members_; }
  const std::vector<SevenZipFolder>& folders() const { return folders_; }
  // Bytes of the source up to where the archive ends.
  uint64_t end() const { return end_; }
  // As UTF-8; empty where there is none.
  std::string name(const SevenZipMember& member) const;

  // Puts what comes out of a folder to `out`, which has nothing, as far as it goes. kTruncated,
  // kBadRecord, kUnsupportedCompression; fails as reading does, and where there is no room.
  Status unpack(Source& source, const SevenZipFolder& folder, Unpacked& out) const;

 private:
  friend class SevenZipHeader;

  uint64_t end_ = 0;
  std::vector<std::byte> header_;
  std::vector<SevenZipFolder> folders_;
  std::vector<SevenZipMember> members_;
};

}  // namespace torchmap
