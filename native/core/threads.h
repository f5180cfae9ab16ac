// Work that several threads share for as long as one call lasts.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <new>

#include "core/status.h"

namespace torchmap {

// More threads than this wait for memory, not for processors.
constexpr unsigned kMostThreads = 8;

// Threads that work at the same time on this machine, kMostThreads at most and one at least.
unsigned useful_threads();

// Calls work(begin, end) until all of [0, count) is done, by pieces of `piece`, on as many threads
// as are useful, the calling one among them; in one call where there is one piece only. Where the
// system starts no thread, those there are do the work. `work` must not throw.
using Work = void (*)(const void* context, uint64_t begin, uint64_t end) noexcept;
void in_parallel(uint64_t count, uint64_t piece, Work work, const void* context);

// What becomes of work on several threads: once one has failed the others are to stop, and of their
// failures the first is told.
class FirstFailure {
 public:
  // Whether there is no more use in going on.
  bool stopped() const { return stopped_.load(std::memory_order_relaxed); }

  // Calls work(), which gives a Status and may run out of memory. By any number of threads.
  template <typename F>
  void watch(const F& work) noexcept {
    try {
      if (Status status = work(); !status.ok()) stop(std::move(status));
    } catch (const std::bad_alloc&) {
      out_of_memory_ = stopped_ = true;
    }
  }

  // The outcome, once all threads are done. Throws std::bad_alloc where that was what one of them
  // failed with.
  Status take() {
    if (out_of_memory_) throw std::bad_alloc();
    return std::move(failure_);
  }

 private:
  void stop(Status status) {
    const std::lock_guard lock(mutex_);
    if (failure_.ok()) failure_ = std::move(status);
    stopped_ = true;
  }

  std::atomic<bool> stopped_ = false;
  std::atomic<bool> out_of_memory_ = false;
  std::mutex mutex_;
  Status failure_;
};

template <typename F>
void in_parallel(uint64_t count, uint64_t piece, const F& work) {
  const Work call = [](const void* context, uint64_t begin, uint64_t end) noexcept {
    (*static_cast<const F*>(context))(begin, end);
  };
  in_parallel(count, piece, call, &work);
}

}  // namespace torchmap
