// The bytes of an archive's records in pieces, which several threads take one after another: parts
// of a large record, or many small records that lie one behind the other and are read at once.
#pragma once

#include "core/threads.h"
#include "core/verify/archive.h"

namespace torchmap {

class Pieces {
 public:
  // One row for each record of the archive; all must outlive this.
  Pieces(Source& source, const ZipArchive& archive, const VerifyOptions& options,
         std::vector<CheckedRecord>& rows)
      : source_(source), archive_(archive), options_(options), rows_(rows) {}

  // In the order of the directory. Looks at the local headers of large records. kCancelled.
  Status add(uint32_t record);

  // Gives the rows their CRC, or what is wrong with the record. Memory for all threads is taken
  // before the first one starts.
  Status run();

 private:
  enum class Kind : uint8_t {
    kPart,   // of a stored record
    kWhole,  // a deflated record
    kSmall,  // `count` records with all that stands between them
  };
  struct Piece {
    Kind kind;
    uint32_t record;
    uint64_t offset, length;  // bytes in the file
    uint32_t count = 1;
    uint32_t crc = 0;
  };

  void add_small(uint32_t record);
  void work(std::byte* buffer) noexcept;
  Status check(Piece& piece, std::byte* buffer);
  Status check_small(const Piece& piece, std::byte* buffer);
  Status poll() const;
  void count(uint64_t bytes) const;

  Source& source_;
  const ZipArchive& archive_;
  const VerifyOptions& options_;
  std::vector<CheckedRecord>& rows_;
  std::vector<Piece> pieces_;
  uint64_t work_ = 0;  // bytes
  std::atomic<size_t> next_ = 0;
  FirstFailure outcome_;
};

}  // namespace torchmap
