#include "core/survey.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <span>

#include "core/threads.h"

namespace torchmap {
namespace {

// Bytes of the widest elements that a thread takes at a time. The outcomes of pieces are put
// together in their order, so that it does not depend on threads which bits come out.
constexpr uint64_t kSurveyPiece = uint64_t{2} << 20;
// Bytes that are read at a time, of one tensor or two, into a buffer on the stack of the thread:
// what is read stays in the cache until it has been looked at.
constexpr size_t kSurveyRead = size_t{64} << 10;

using ReadBuffer = std::array<std::byte, kSurveyRead>;

uint64_t piece_of(const Elements& elements) { return kSurveyPiece / info(elements.dtype).bytes; }
uint64_t pieces_of(uint64_t count, uint64_t piece) { return (count + piece - 1) / piece; }

Status check_unchanged(const Elements& elements) {
  return elements.reader ? elements.reader->check_unchanged() : Status();
}

// The bytes of `count` elements from the element `first` on.
Result<const std::byte*> bytes_of(const Elements& elements, uint64_t first, uint64_t count,
                                  std::span<std::byte> buffer) {
  const uint64_t itemsize = info(elements.dtype).bytes;
  if (!elements.reader) return elements.memory + first * itemsize;
  TRY(elements.reader->read(elements.offset + first * itemsize,
                            buffer.first(static_cast<size_t>(count * itemsize))));
  return static_cast<const std::byte*>(buffer.data());
}

// Calls look(first, count) for all of [begin, end), `step` at a time, until somebody stops it.
template <typename F>
Status step_through(uint64_t begin, uint64_t end, uint64_t step, const FirstFailure& outcome,
                    const SurveyOptions& options, const F& look) {
  for (uint64_t first = begin; first < end; first += step) {
    if (outcome.stopped()) return {};
    if (options.cancelled != nullptr && options.cancelled->load(std::memory_order_relaxed))
      return Status(Code::kCancelled, "the caller asked to stop");
    TRY(look(first, std::min(step, end - first)));
  }
  return {};
}

void count_done(const SurveyOptions& options, uint64_t bytes) {
  if (options.done != nullptr) options.done->fetch_add(bytes, std::memory_order_relaxed);
}

// Calls look(piece, bytes, count) for all elements, by several threads.
template <typename F>
Status each_block(const Elements& elements, const SurveyOptions& options, const F& look) {
  const uint64_t itemsize = info(elements.dtype).bytes, piece = piece_of(elements);
  FirstFailure outcome;
  in_parallel(elements.count, piece, [&](uint64_t begin, uint64_t end) noexcept {
    outcome.watch([&]() -> Status {
      ReadBuffer buffer;
      return step_through(begin, end, kSurveyRead / itemsize, outcome, options,
                          [&](uint64_t first, uint64_t count) -> Status {
                            TRY_ASSIGN(const std::byte* bytes,
                                       bytes_of(elements, first, count, buffer));
                            look(first / piece, bytes, count);
                            count_done(options, count * itemsize);
                            return {};
                          });
    });
  });
  return outcome.take();
}

}  // namespace

Result<Survey> survey(const Elements& elements, uint32_t bins, const SurveyOptions& options) {
  TRY(check_unchanged(elements));
  Survey result;
  {
    std::vector<Statistics> found(pieces_of(elements.count, piece_of(elements)));
    TRY(each_block(elements, options, [&](uint64_t piece, const std::byte* bytes, uint64_t count) {
      add_statistics(bytes, elements.dtype, count, found[piece]);
    }));
    for (const Statistics& one : found) result.statistics.add(one);
  }
  finish_statistics(elements.dtype, result.statistics);
  if (bins > 0 && result.statistics.finite > 0) {
    const Bins steps(result.statistics, bins);
    result.histogram.resize(bins);
    std::mutex mutex;
    FirstFailure none;
    const uint64_t itemsize = info(elements.dtype).bytes;
    in_parallel(elements.count, piece_of(elements), [&](uint64_t begin, uint64_t end) noexcept {
      none.watch([&]() -> Status {
        ReadBuffer buffer;
        std::vector<uint64_t> counts(bins);
        TRY(step_through(begin, end, kSurveyRead / itemsize, none, options,
                         [&](uint64_t first, uint64_t count) -> Status {
                           TRY_ASSIGN(const std::byte* bytes,
                                      bytes_of(elements, first, count, buffer));
                           steps.add(bytes, elements.dtype, count, counts);
                           return {};
                         }));
        const std::lock_guard lock(mutex);
        for (uint32_t i = 0; i < bins; ++i) result.histogram[i] += counts[i];
        return {};
      });
    });
    TRY(none.take());
  }
  TRY(check_unchanged(elements));
  return result;
}

Result<Difference> compare(const Elements& a, const Elements& b, double tolerance,
                           const SurveyOptions& options) {
  TRY(check_unchanged(a));
  TRY(check_unchanged(b));
  const uint64_t size_a = info(a.dtype).bytes, size_b = info(b.dtype).bytes;
  const uint64_t piece = std::min(piece_of(a), piece_of(b));
  const uint64_t step = kSurveyRead / 2 / std::max(size_a, size_b);
  std::vector<Difference> found(pieces_of(a.count, piece));
  FirstFailure outcome;
  in_parallel(a.count, piece, [&](uint64_t begin, uint64_t end) noexcept {
    outcome.watch([&]() -> Status {
      ReadBuffer buffer;
      const auto halves = std::span(buffer);
      return step_through(begin, end, step, outcome, options,
                          [&](uint64_t first, uint64_t count) -> Status {
                            TRY_ASSIGN(const std::byte* bytes_a,
                                       bytes_of(a, first, count, halves.first(kSurveyRead / 2)));
                            TRY_ASSIGN(const std::byte* bytes_b,
                                       bytes_of(b, first, count, halves.last(kSurveyRead / 2)));
                            add_difference(bytes_a, a.dtype, bytes_b, b.dtype, count, tolerance,
                                           found[first / piece]);
                            count_done(options, count * (size_a + size_b));
                            return {};
                          });
    });
  });
  TRY(outcome.take());
  TRY(check_unchanged(a));
  TRY(check_unchanged(b));
  Difference result;
  for (const Difference& one : found) result.add(one);
  return result;
}

}  // namespace torchmap
