// Which of two ways to the bytes of a file is the quicker one, here and now: by trying both.
//
// Pages that are looked at where they are save the copy that reading makes, but the system has to
// give each to the process: up to 2 MiB at once where a file was read from its start to its end, as
// few as 4 KiB where it was written or brought in otherwise. So looking takes 0.5 to 1.5 times as
// long as reading (Linux 6.18, ext4), more with several threads, and nothing tells before.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>

namespace torchmap {

enum class Way : uint8_t { kPages, kRead };

// For any number of threads.
class Ways {
 public:
  using Clock = std::chrono::steady_clock;

  // The way to go next: each in turn for some runs, then the one that was the quicker in those.
  Way next() {
    const uint32_t turn = turns_.fetch_add(1, std::memory_order_relaxed);
    if (turn < kTrial) return turn % kBoth < kPages ? Way::kPages : Way::kRead;
    return pace(Way::kPages) < pace(Way::kRead) ? Way::kPages : Way::kRead;
  }

  // That `bytes`, not zero, were gone through since `begin`.
  void took(Way way, Clock::time_point begin, uint64_t bytes) {
    const auto time =
        std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - begin).count();
    Total& total = totals_[static_cast<size_t>(way)];
    total.time.fetch_add(static_cast<uint64_t>(time), std::memory_order_relaxed);
    total.bytes.fetch_add(bytes, std::memory_order_relaxed);
  }

 private:
  // Turns: of one way, of both, and after which there is no more trying. More of pages, because
  // what it takes to give them back comes later than what they were good for.
  static constexpr uint32_t kPages = 4, kBoth = 6, kTrial = 2 * kBoth;

  struct Total {
    std::atomic<uint64_t> time = 0, bytes = 0;  // nanoseconds
  };

  // Nanoseconds a byte; no number for a way that could not be gone.
  double pace(Way way) const {
    const Total& total = totals_[static_cast<size_t>(way)];
    return static_cast<double>(total.time.load(std::memory_order_relaxed)) /
           static_cast<double>(total.bytes.load(std::memory_order_relaxed));
  }

  std::atomic<uint32_t> turns_ = 0;
  std::array<Total, 2> totals_;
};

}  // namespace torchmap
