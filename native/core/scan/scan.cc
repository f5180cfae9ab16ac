#include "core/scan/scan.h"

#include <memory>
#include <mutex>

#include "core/threads.h"

namespace torchmap {
namespace {

// Up to here one read of the whole costs less than several of its parts.
constexpr uint64_t kSmall = uint64_t{1} << 20;
// torch.distributed.checkpoint writes one archive behind the other.
constexpr std::string_view kSeriesEnd = ".distcp";

// Rooms that threads take in turns.
class ScanRooms {
 public:
  std::unique_ptr<ScanRoom> take() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return std::make_unique<ScanRoom>();
    std::unique_ptr<ScanRoom> room = std::move(idle_.back());
    idle_.pop_back();
    return room;
  }
  void give_back(std::unique_ptr<ScanRoom> room) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(room));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<ScanRoom>> idle_;
};

}  // namespace

Result<ScanReport> scan_source(Source& source, std::string_view name, const ScanOptions& options,
                               ScanRoom& room) {
  ScanReport report;
  Scanner scanner(options, room.pools, report, name.ends_with(kSeriesEnd));
  if (source.size() > kSmall) {
    TRY(scanner.scan(source, {}));
    return report;
  }
  const auto size = static_cast<size_t>(source.size());
  if (room.bytes.size() < size) room.bytes.resize(size);
  const auto bytes = std::span(room.bytes).first(size);
  TRY(source.read(0, bytes));
  SpanSource small(bytes);
  TRY(scanner.scan(small, {}));
  return report;
}

// Read, not mapped: a file that shrinks meanwhile ends the scan and not the process.
Result<ScanReport> scan_file(const std::string& path, const ScanOptions& options, ScanRoom& room) {
  TRY_ASSIGN(const std::shared_ptr<Source> source, open_file(path, {false}));
  TRY_ASSIGN(ScanReport report, scan_source(*source, path, options, room));
  TRY(source->check_unchanged());
  return report;
}

std::vector<Result<ScanReport>> scan_files(std::span<const std::string> paths,
                                           const ScanOptions& options) {
  // Files that one thread looks at before it takes others.
  constexpr uint64_t kTaken = 8;
  std::vector<Result<ScanReport>> found;
  found.reserve(paths.size());
  for (size_t i = 0; i < paths.size(); ++i) found.emplace_back(ScanReport());
  FirstFailure outcome;
  ScanRooms rooms;
  in_parallel(paths.size(), kTaken, [&](uint64_t begin, uint64_t end) noexcept {
    outcome.watch([&]() -> Status {
      std::unique_ptr<ScanRoom> room = rooms.take();
      for (uint64_t i = begin; i < end && !outcome.stopped(); ++i)
        found[i] = scan_file(paths[i], options, *room);
      rooms.give_back(std::move(room));
      return {};
    });
  });
  // Nothing fails as a whole but for want of memory.
  static_cast<void>(outcome.take());
  return found;
}

}  // namespace torchmap
