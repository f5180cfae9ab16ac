#include "core/load.h"

#include <algorithm>
#include <array>

#include "core/kernels/convert.h"
#include "core/kernels/fresh_pages.h"
#include "core/threads.h"

namespace torchmap {
namespace {

// Bytes that a thread takes at a time, and that it reads at a time: where the system reads little
// ahead, the request itself is what keeps a disk busy.
constexpr uint64_t kLoadPiece = uint64_t{4} << 20;
// Bytes that are converted at a time: read and written again before they leave the cache. On the
// stack of a thread.
constexpr size_t kConverted = size_t{64} << 10;
// Loads begin at multiples of this in the row of all of them, so that a piece ends at the end of an
// element, and many small ones are work for several threads.
constexpr uint64_t kGrain = 4096;
// Bytes from which on threads are worth starting for memory that has no pages yet, and that one of
// them takes at a time: giving pages is more work than reading.
constexpr size_t kShared = size_t{2} << 20, kFreshPiece = size_t{1} << 20;

class Loader {
 public:
  Loader(Source& reader, const std::vector<Load>& loads, const LoadOptions& options)
      : reader_(reader), loads_(loads), options_(options) {
    ends_.reserve(loads.size());
    for (const Load& load : loads) {
      expect_writes({load.target, static_cast<size_t>(load.bytes)});
      total_ += (load.bytes + kGrain - 1) / kGrain * kGrain;
      ends_.push_back(total_);
    }
  }

  Status run() {
    in_parallel(total_, kLoadPiece, [this](uint64_t begin, uint64_t end) noexcept {
      outcome_.watch([&] { return work(begin, end); });
    });
    return outcome_.take();
  }

 private:
  // What lies at [begin, end) of the row of all loads.
  Status work(uint64_t begin, uint64_t end) {
    auto found =
        static_cast<size_t>(std::upper_bound(ends_.begin(), ends_.end(), begin) - ends_.begin());
    for (uint64_t at = begin; at < end; at = ends_[found++]) {
      const Load& load = loads_[found];
      const uint64_t start = found == 0 ? 0 : ends_[found - 1];
      const uint64_t from = at - start;
      if (from >= load.bytes) continue;
      TRY(piece(load, from, std::min(load.bytes, end - start)));
    }
    return {};
  }

  Status piece(const Load& load, uint64_t from, uint64_t to) {
    std::array<std::byte, kConverted> buffer;
    const uint64_t itemsize = info(load.dtype).bytes;
    while (from < to) {
      if (outcome_.stopped()) return {};
      if (options_.cancelled != nullptr && options_.cancelled->load(std::memory_order_relaxed))
        return Status(Code::kCancelled, "the caller asked to stop");
      const uint64_t most = load.to_float32 ? kConverted : kLoadPiece;
      const auto taken = static_cast<size_t>(std::min(most, to - from));
      if (load.to_float32) {
        TRY(reader_.read(load.offset + from, {buffer.data(), taken}));
        auto* target = reinterpret_cast<float*>(load.target) + from / itemsize;
        to_float32(buffer.data(), load.dtype, taken / itemsize, target);
      } else {
        TRY(reader_.read(load.offset + from, {load.target + from, taken}));
      }
      if (options_.done != nullptr) options_.done->fetch_add(taken, std::memory_order_relaxed);
      from += taken;
    }
    return {};
  }

  Source& reader_;
  const std::vector<Load>& loads_;
  const LoadOptions& options_;
  std::vector<uint64_t> ends_;  // of each load in the row of all
  uint64_t total_ = 0;
  FirstFailure outcome_;
};

}  // namespace

Status load(Source& reader, const std::vector<Load>& loads, const LoadOptions& options) {
  TRY(reader.check_unchanged());
  TRY(Loader(reader, loads, options).run());
  return reader.check_unchanged();
}

Status load_fresh(Source& source, uint64_t offset, std::span<std::byte> target) {
  const std::shared_ptr<Source> reader = target.size() < kShared ? nullptr : source.reader();
  if (!reader) return source.read(offset, target);
  TRY(reader->check_unchanged());
  expect_writes(target);
  FirstFailure outcome;
  in_parallel(target.size(), kFreshPiece, [&](uint64_t begin, uint64_t end) noexcept {
    outcome.watch([&]() -> Status {
      if (outcome.stopped()) return {};
      const auto piece =
          target.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
      populate(piece);
      return reader->read(offset + begin, piece);
    });
  });
  TRY(outcome.take());
  return reader->check_unchanged();
}

}  // namespace torchmap
