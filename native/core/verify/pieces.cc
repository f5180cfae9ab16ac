#include "core/verify/pieces.h"

#include <exception>
#include <memory>
#include <thread>

#include "core/archive/crc32.h"
#include "core/archive/zip_layout.h"
#include "core/source/block.h"
#include "core/verify/deflated.h"
#include "core/verify/local_header.h"

namespace torchmap {
namespace {

// What one thread does at a time of a large record: little, so that no thread works alone for long
// when the others have nothing left. And what it reads at once, which stays in the processor's
// cache until the CRC is made of it.
constexpr uint64_t kPart = uint64_t{4} << 20, kRead = uint64_t{512} << 10;
// Where a thread looks at pages of the file it has so much of it at a time, for the pieces it takes
// at a time: giving pages back interrupts the other threads. It begins at a multiple of the most
// that the system gives at once.
constexpr uint64_t kWindow = uint64_t{32} << 20, kUnit = uint64_t{2} << 20;
constexpr size_t kRun = 4;
// Starting a thread takes as long as reading this much.
constexpr uint64_t kWorthThread = uint64_t{1} << 20;
// Inflating a byte takes as long as reading this many.
constexpr uint64_t kDeflatedWork = 32;

// Where a record and all that belongs to it ends.
uint64_t end_of(const Record& record) {
  return record.stored_size > 0 ? record.end
                                : record.header_offset + ZipArchive::header_bytes(record);
}

// Whether it is read together with its neighbours: its header cannot change that it is read.
bool is_small(const Record& record) {
  return record.method == kStored && (record.flags & 1) == 0 && !record.cut &&
         (record.crc != 0 || record.size == 0) && end_of(record) - record.header_offset <= kRead;
}

}  // namespace

Status Pieces::add(uint32_t record) {
  TRY(poll());
  if (!options_.salvage && is_small(archive_.records()[record])) {
    add_small(record);
    return {};
  }
  CheckedRecord& row = rows_[record];
  TRY(check_local_header(source_, archive_, record, row));
  if (row.verdict != Verdict::kOk) return {};
  if (row.deflated) {
    if (!is_inflatable(row, options_.limits)) return {};
    work_ += kDeflatedWork * row.stored_size;
    pieces_.push_back({Kind::kWhole, record, row.offset, row.stored_size});
    return {};
  }
  uint64_t offset = row.offset, length = row.stored_size;
  work_ += length;
  do {
    const uint64_t taken = std::min(length, kPart);
    pieces_.push_back({Kind::kPart, record, offset, taken});
    offset += taken;
    length -= taken;
  } while (length > 0);
  return {};
}

void Pieces::add_small(uint32_t record) {
  const uint64_t begin = archive_.records()[record].header_offset,
                 end = end_of(archive_.records()[record]);
  if (!pieces_.empty()) {
    Piece& last = pieces_.back();
    const uint64_t last_end = last.offset + last.length;
    if (last.kind == Kind::kSmall && last.record + last.count == record && begin >= last_end &&
        end - last.offset <= kRead) {
      work_ += end - last_end;
      last.length = end - last.offset;
      ++last.count;
      return;
    }
  }
  work_ += end - begin;
  pieces_.push_back({Kind::kSmall, record, begin, end - begin});
}

Status Pieces::run() {
  const uint64_t useful = std::min<uint64_t>(pieces_.size(), work_ / kWorthThread + 1);
  threads_ =
      static_cast<size_t>(std::clamp<uint64_t>(options_.threads, 1, std::max<uint64_t>(useful, 1)));
  const auto longest = static_cast<size_t>(std::min(kRead, work_));
  std::vector<Desk> desks(threads_);
  for (Desk& desk : desks) desk.buffer.reset(new std::byte[longest]);
  std::vector<std::thread> threads;
  threads.reserve(threads_ - 1);
  for (size_t i = 1; i < threads_; ++i) {
    try {
      threads.emplace_back([this, &desk = desks[i]] { work(desk); });
    } catch (const std::exception&) {
      break;  // the system or memory gives no more; those there are do the work
    }
  }
  work(desks[0]);
  for (std::thread& thread : threads) thread.join();
  TRY(outcome_.take());
  for (const Piece& piece : pieces_) {
    if (piece.kind != Kind::kPart) continue;
    CheckedRecord& row = rows_[piece.record];
    row.actual = crc32_combine(row.actual, piece.crc, piece.length);
  }
  return {};
}

// Fewer towards the end, so that all threads end together.
std::span<Pieces::Piece> Pieces::take() {
  size_t index = next_.load(std::memory_order_relaxed), taken = 0;
  do {
    if (index >= pieces_.size()) return {};
    taken = std::clamp<size_t>((pieces_.size() - index) / (4 * threads_), 1, kRun);
  } while (!next_.compare_exchange_weak(index, index + taken, std::memory_order_relaxed));
  return std::span(pieces_).subspan(index, taken);
}

void Pieces::work(Desk& desk) noexcept {
  for (std::span<Piece> run = take(); !run.empty(); run = take()) {
    for (Piece& piece : run) {
      if (outcome_.stopped()) return;
      outcome_.watch([&] { return check(piece, desk); });
    }
  }
}

Status Pieces::poll() const {
  if (options_.cancelled != nullptr && options_.cancelled->load(std::memory_order_relaxed))
    return Status(Code::kCancelled, "the caller asked to stop");
  return {};
}

void Pieces::count(uint64_t bytes) const {
  if (options_.done != nullptr) options_.done->fetch_add(bytes, std::memory_order_relaxed);
}

Status Pieces::check(Piece& piece, Desk& desk) {
  if (piece.kind == Kind::kWhole) return check_deflated(source_, options_, rows_[piece.record]);
  if (piece.kind == Kind::kSmall) return check_small(piece, desk.buffer.get());
  return check_part(piece, desk);
}

Status Pieces::check_part(Piece& piece, Desk& desk) {
  if (piece.length == 0) return {};
  const Ways::Clock::time_point begin = Ways::Clock::now();
  uint64_t at = 0;
  if (ways_.next() == Way::kPages) {
    TRY_ASSIGN(at, look(piece, desk));
  }
  const Way way = at == piece.length ? Way::kPages : Way::kRead;
  while (at < piece.length) {
    TRY(poll());
    const std::span<std::byte> bytes(desk.buffer.get(),
                                     static_cast<size_t>(std::min(kRead, piece.length - at)));
    TRY(source_.read(piece.offset + at, bytes));
    piece.crc = crc32(piece.crc, bytes);
    at += bytes.size();
    count(bytes.size());
  }
  // The first time reading also waits for the buffer's own pages.
  if (way == Way::kPages || desk.has_read) ways_.took(way, begin, piece.length);
  if (way == Way::kRead) desk.has_read = true;
  return {};
}

Result<uint64_t> Pieces::look(Piece& piece, Desk& desk) const {
  uint64_t at = 0;
  while (at < piece.length) {
    TRY(poll());
    const uint64_t offset = piece.offset + at;
    if (offset < desk.start || offset - desk.start >= kWindow) {
      desk.window.reset();
      desk.start = offset / kUnit * kUnit;
      desk.window = source_.pages(desk.start, std::min(kWindow, source_.size() - desk.start));
    }
    if (!desk.window) break;
    const auto place = static_cast<size_t>(offset - desk.start);
    const auto taken = static_cast<size_t>(std::min(piece.length - at, kWindow - place));
    const uint32_t crc = crc32(piece.crc, desk.window->bytes().subspan(place, taken));
    if (desk.window->lost()) break;
    piece.crc = crc;
    at += taken;
    count(taken);
  }
  return at;
}

Status Pieces::check_small(const Piece& piece, std::byte* buffer) {
  TRY(poll());
  const std::span<std::byte> bytes(buffer, static_cast<size_t>(piece.length));
  TRY(source_.read(piece.offset, bytes));
  Block block(piece.offset, bytes);
  uint64_t done = 0;
  for (uint32_t i = piece.record; i < piece.record + piece.count; ++i) {
    CheckedRecord& row = rows_[i];
    TRY(check_local_header(block, archive_, i, row));
    if (row.verdict != Verdict::kOk || row.stored_size == 0) continue;
    TRY_ASSIGN(const ByteSpan payload, block.view(row.offset, row.stored_size));
    row.actual = crc32(0, payload);
    done += row.stored_size;
  }
  count(done);
  return {};
}

}  // namespace torchmap
