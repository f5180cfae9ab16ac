// The header of a 7-Zip archive, which stands behind everything else: see seven_zip.h.
#pragma once

#include "core/archive/seven_zip.h"
#include "core/cursor.h"

namespace torchmap {

inline constexpr size_t kSevenZipStart = 32;  // bytes before the packed streams
// What a header begins with.
inline constexpr uint64_t kPlainHeader = 0x01, kPackedHeader = 0x17;

// A method that packs streams, one into one unless it says otherwise.
struct SevenZipCoder {
  uint64_t id = 0;
  uint64_t inputs = 1, outputs = 1;
  ByteSpan properties;
};

// The methods of a folder.
struct SevenZipMethods {
  std::vector<SevenZipCoder> coders;
  uint64_t packed = 1;    // streams that go in
  uint64_t last = 0;      // of those that come out of the methods, which is that of the folder
  bool is_chain = false;  // each has one stream and gives it to the next one
};

// Reads ids, numbers and tables of one header. What it says is compared with the bytes that are
// there before memory is taken.
class SevenZipHeader {
 public:
  SevenZipHeader(ByteSpan bytes, uint64_t archive_size, const Limits& limits)
      : bytes_(bytes), cursor_(bytes), archive_size_(archive_size), limits_(limits) {}

  Result<uint64_t> number();
  // All that stands behind the id of a header.
  Status read(SevenZip& archive);
  // The streams that a packed header lies in.
  Status streams(SevenZip& archive);
  // How a folder is packed.
  Result<SevenZipMethods> methods();

 private:
  Result<uint64_t> count(uint64_t most, const char* what);
  Status digests(uint64_t count, std::vector<std::optional<uint32_t>>& sums);
  Status skip_property();
  Status packed_streams(std::vector<uint64_t>& sizes, uint64_t& offset);
  Status folders(SevenZip& archive, std::span<const uint64_t> sizes, uint64_t offset);
  Status parts(SevenZip& archive, bool is_said);
  Status files(SevenZip& archive);
  Status names(SevenZip& archive, uint64_t size);

  const ByteSpan bytes_;
  Cursor cursor_;
  const uint64_t archive_size_;
  const Limits& limits_;
  std::vector<SevenZipMember> parts_;  // of folders, before they have names
};

}  // namespace torchmap
