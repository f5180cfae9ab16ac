#include "core/threads.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <exception>
#include <thread>

namespace torchmap {

unsigned useful_threads() {
  static const unsigned known = std::clamp(std::thread::hardware_concurrency(), 1u, kMostThreads);
  return known;
}

void in_parallel(uint64_t count, uint64_t piece, Work work, const void* context) {
  if (count == 0) return;
  const uint64_t pieces = (count - 1) / piece + 1;
  const auto threads = static_cast<unsigned>(std::min<uint64_t>(pieces, useful_threads()));
  if (threads == 1) return work(context, 0, count);
  std::atomic<uint64_t> next = 0;
  const auto take = [&]() noexcept {
    for (;;) {
      const uint64_t taken = next.fetch_add(1, std::memory_order_relaxed);
      if (taken >= pieces) return;
      const uint64_t begin = taken * piece;
      work(context, begin, begin + std::min(piece, count - begin));
    }
  };
  std::array<std::thread, kMostThreads> helpers;
  for (unsigned i = 1; i < threads; ++i) {
    try {
      helpers[i] = std::thread(take);
    } catch (const std::exception&) {
      break;  // the system or memory gives no more
    }
  }
  take();
  for (std::thread& helper : helpers)
    if (helper.joinable()) helper.join();
}

}  // namespace torchmap
