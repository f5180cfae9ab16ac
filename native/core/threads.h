// Work that several threads share for as long as one call lasts.
#pragma once

#include <cstdint>

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

template <typename F>
void in_parallel(uint64_t count, uint64_t piece, const F& work) {
  const Work call = [](const void* context, uint64_t begin, uint64_t end) noexcept {
    (*static_cast<const F*>(context))(begin, end);
  };
  in_parallel(count, piece, call, &work);
}

}  // namespace torchmap
