#include "core/verify/archive.h"

#include <algorithm>
#include <exception>
#include <memory>
#include <thread>

#include "core/archive/crc32.h"
#include "core/archive/zip_layout.h"
#include "core/threads.h"
#include "core/verify/deflated.h"

namespace torchmap {
namespace {

// What one thread does at a time, and what it reads at once, which stays in the processor's cache
// until the CRC is made of it.
constexpr uint64_t kPiece = uint64_t{16} << 20, kRead = uint64_t{512} << 10;
// Starting a thread takes as long as reading this much.
constexpr uint64_t kWorthThread = uint64_t{1} << 20;
// Inflating a byte takes as long as reading this many.
constexpr uint64_t kDeflatedWork = 32;

struct Piece {
  size_t record;
  uint64_t offset, length;  // bytes in the file
  bool deflated = false;    // all of a record
  uint32_t crc = 0;
};

// The pieces of all records, and the threads that take them.
class Pieces {
 public:
  Pieces(Source& source, const VerifyOptions& options, std::vector<CheckedRecord>& rows)
      : source_(source), options_(options), rows_(rows) {}

  // The row must be there by now.
  void add(size_t record) {
    const CheckedRecord& row = rows_[record];
    if (row.deflated) {
      work_ += kDeflatedWork * row.stored_size;
      pieces_.push_back({record, row.offset, row.stored_size, true});
      return;
    }
    uint64_t offset = row.offset, length = row.stored_size;
    work_ += length;
    do {
      const uint64_t taken = std::min(length, kPiece);
      pieces_.push_back({record, offset, taken});
      offset += taken;
      length -= taken;
    } while (length > 0);
  }

  // Gives the rows their CRC. Memory for all threads is taken before the first one starts.
  Status run() {
    const uint64_t useful = std::min<uint64_t>(pieces_.size(), work_ / kWorthThread + 1);
    const uint64_t count = std::clamp<uint64_t>(options_.threads, 1, std::max<uint64_t>(useful, 1));
    const auto longest = static_cast<size_t>(std::min(kRead, work_));
    std::vector<std::unique_ptr<std::byte[]>> buffers;
    for (uint64_t i = 0; i < count; ++i) buffers.emplace_back(new std::byte[longest]);
    std::vector<std::thread> threads;
    threads.reserve(count - 1);
    for (uint64_t i = 1; i < count; ++i) {
      std::byte* buffer = buffers[i].get();
      try {
        threads.emplace_back([this, buffer] { work(buffer); });
      } catch (const std::exception&) {
        break;  // the system or memory gives no more; those there are do the work
      }
    }
    work(buffers[0].get());
    for (std::thread& thread : threads) thread.join();
    TRY(outcome_.take());
    for (const Piece& piece : pieces_) {
      if (piece.deflated) continue;
      CheckedRecord& row = rows_[piece.record];
      row.actual = crc32_combine(row.actual, piece.crc, piece.length);
    }
    return {};
  }

 private:
  void work(std::byte* buffer) noexcept {
    for (;;) {
      const size_t index = next_.fetch_add(1, std::memory_order_relaxed);
      if (index >= pieces_.size() || outcome_.stopped()) return;
      outcome_.watch([&] { return check(pieces_[index], buffer); });
    }
  }

  Status check(Piece& piece, std::byte* buffer) {
    if (piece.deflated) return check_deflated(source_, options_, rows_[piece.record]);
    for (uint64_t at = 0; at < piece.length;) {
      if (options_.cancelled != nullptr && options_.cancelled->load(std::memory_order_relaxed))
        return Status(Code::kCancelled, "the caller asked to stop");
      const auto taken = static_cast<size_t>(std::min(kRead, piece.length - at));
      TRY(source_.read(piece.offset + at, {buffer, taken}));
      piece.crc = crc32(piece.crc, {buffer, taken});
      at += taken;
      if (options_.done != nullptr) options_.done->fetch_add(taken, std::memory_order_relaxed);
    }
    return {};
  }

  Source& source_;
  const VerifyOptions& options_;
  std::vector<CheckedRecord>& rows_;
  std::vector<Piece> pieces_;
  uint64_t work_ = 0;  // bytes
  std::atomic<size_t> next_ = 0;
  FirstFailure outcome_;
};

// Everything about a record but its bytes. `fault` keeps what is wrong with its local header.
Result<CheckedRecord> look_at(Source& source, const ZipArchive& archive, uint32_t index) {
  const Record& record = archive.records()[index];
  CheckedRecord row{std::string(record.name),
                    Verdict::kOk,
                    record.header_offset,
                    record.stored_size,
                    record.size,
                    record.crc,
                    0,
                    record.method == kDeflated,
                    {}};
  auto offset = archive.payload_offset(source, index);
  if (!offset.ok()) {
    if (offset.status().code() != Code::kBadRecord) return std::move(offset).status();
    row.verdict = Verdict::kMismatch;
    row.fault = offset.status().failure().message;
    return row;
  }
  row.offset = *offset;
  if (record.cut) {
    row.verdict = Verdict::kMismatch;
    row.fault = "the record is cut: " + std::to_string(record.stored_size) +
                " bytes of it are there, and no checksum";
  } else if ((record.flags & 1) != 0) {
    row.verdict = Verdict::kNone;
    row.fault = "the record is encrypted";
  } else if (record.method != kStored && record.method != kDeflated) {
    row.verdict = Verdict::kNone;
    row.fault = "the record is compressed with method " + std::to_string(record.method);
  } else if (record.crc == 0 && record.size != 0) {
    row.verdict = Verdict::kAbsent;
  }
  return row;
}

}  // namespace

Result<std::vector<CheckedRecord>> verify_archive(Source& source, const VerifyOptions& options) {
  TRY(source.check_unchanged());
  TRY_ASSIGN(const ZipArchive archive,
             options.salvage ? ZipArchive::salvage(source, options.limits, options.cancelled)
                             : ZipArchive::read(source, options.limits));
  std::vector<CheckedRecord> rows;
  Pieces pieces(source, options, rows);
  for (uint32_t i = 0; i < archive.records().size(); ++i) {
    if (options.cancelled != nullptr && options.cancelled->load(std::memory_order_relaxed))
      return Status(Code::kCancelled, "the caller asked to stop");
    TRY_ASSIGN(CheckedRecord row, look_at(source, archive, i));
    const bool is_read =
        row.verdict == Verdict::kOk && (!row.deflated || is_inflatable(row, options.limits));
    rows.push_back(std::move(row));
    if (is_read) pieces.add(i);
  }
  TRY(pieces.run());
  for (CheckedRecord& row : rows) {
    if (row.verdict == Verdict::kOk && row.actual != row.expected) row.verdict = Verdict::kMismatch;
  }
  TRY(source.check_unchanged());
  return rows;
}

}  // namespace torchmap
