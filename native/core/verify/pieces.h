// The bytes of an archive's records in pieces, which several threads take one after another: parts
// of a large record, or many small records that lie one behind the other and are read at once.
#pragma once

#include <memory>
#include <optional>

#include "core/threads.h"
#include "core/verify/archive.h"
#include "core/verify/ways.h"

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

  // What a thread works with.
  struct Desk {
    std::unique_ptr<std::byte[]> buffer;
    bool has_read = false;
    std::optional<GuardedPages> window;  // none where none are to be had
    uint64_t start = UINT64_MAX;         // byte of the file at which `window` begins
  };

  void add_small(uint32_t record);
  // The next pieces for a thread, which lie one behind the other; none when there are no more.
  std::span<Piece> take();
  void work(Desk& desk) noexcept;
  Status check(Piece& piece, Desk& desk);
  Status check_part(Piece& piece, Desk& desk);
  // As many bytes of a part as can be had without reading, in its crc: 0 or all, fewer where pages
  // were lost. kCancelled.
  Result<uint64_t> look(Piece& piece, Desk& desk) const;
  Status check_small(const Piece& piece, std::byte* buffer);
  Status poll() const;
  void count(uint64_t bytes) const;

  Source& source_;
  const ZipArchive& archive_;
  const VerifyOptions& options_;
  std::vector<CheckedRecord>& rows_;
  std::vector<Piece> pieces_;
  uint64_t work_ = 0;  // bytes
  size_t threads_ = 1;
  std::atomic<size_t> next_ = 0;
  Ways ways_;
  FirstFailure outcome_;
};

}  // namespace torchmap
