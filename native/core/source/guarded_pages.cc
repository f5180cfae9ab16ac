#include "core/source/guarded_pages.h"

#include "core/source/file_handle.h"

#ifdef __linux__
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <mutex>
#endif

namespace torchmap {

#ifdef __linux__
namespace {

// Who is asked when a page is missing. The handler may run at any time on any thread, so it looks
// at atomics only, and makes no call but mmap(), which is one system call.
struct Slot {
  std::atomic<uintptr_t> begin = 0, end = 0;  // addresses, whole pages; 0: free
  std::atomic<bool> taken = false;
  std::atomic<uint8_t> lost = 0;
};

// More than threads that look at pages at the same time; where none is free files are read.
constexpr size_t kSlots = 64;
std::array<Slot, kSlots> slots;
static_assert(std::atomic<uintptr_t>::is_always_lock_free);

uintptr_t page_size() {
  static const auto size = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  return size;
}

// Puts pages of zeros in place of the missing one and of those behind it, so that what touched it
// goes on. False when the address is not in a slot.
bool replace(uintptr_t address, uintptr_t page) {
  for (Slot& slot : slots) {
    const uintptr_t begin = slot.begin.load(std::memory_order_acquire);
    const uintptr_t end = slot.end.load(std::memory_order_relaxed);
    if (begin == 0 || address < begin || address >= end) continue;
    slot.lost.store(1);  // before anybody can see a zero
    const uintptr_t first = address & ~(page - 1);
    return mmap(reinterpret_cast<void*>(first), end - first, PROT_READ,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
  }
  return false;
}

// The handler of SIGBUS while there are guarded pages.
class Handler {
 public:
  // False where it is not ours to set, or does not reach this thread.
  bool acquire() {
    const std::lock_guard lock(mutex_);
    sigset_t blocked;
    if (left_ || pthread_sigmask(SIG_BLOCK, nullptr, &blocked) != 0 ||
        sigismember(&blocked, SIGBUS) != 0) {
      return false;
    }
    if (users_ == 0) {
      page_ = page_size();
      struct sigaction ours = {};
      ours.sa_sigaction = [](int number, siginfo_t* info, void* context) {
        handle(number, info, context);
      };
      ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART;
      sigemptyset(&ours.sa_mask);
      if (sigaction(SIGBUS, &ours, &before_) != 0) return false;
      function_ = ours.sa_sigaction;
    } else if (!is_current()) {
      return false;
    }
    ++users_;
    return true;
  }

  void release() {
    const std::lock_guard lock(mutex_);
    if (--users_ > 0) return;
    // One that was set over ours may pass signals on to ours: it stays, and is never set again, or
    // the two would pass a signal to each other without end.
    if (is_current()) {
      sigaction(SIGBUS, &before_, nullptr);
    } else {
      left_ = true;
    }
  }

 private:
  static void handle(int number, siginfo_t* info, void* context);

  bool is_current() const {
    struct sigaction now = {};
    return sigaction(SIGBUS, nullptr, &now) == 0 && (now.sa_flags & SA_SIGINFO) != 0 &&
           now.sa_sigaction == function_;
  }

  std::mutex mutex_;
  size_t users_ = 0;
  bool left_ = false;
  uintptr_t page_ = 0;
  struct sigaction before_ = {};
  void (*function_)(int, siginfo_t*, void*) = nullptr;
};

Handler handler;

void Handler::handle(int number, siginfo_t* info, void* context) {
  const int error = errno;
  const bool of_system = info->si_code > 0;  // and not of kill()
  if (of_system && replace(reinterpret_cast<uintptr_t>(info->si_addr), handler.page_)) {
    errno = error;
    return;
  }
  const struct sigaction& before = handler.before_;
  if ((before.sa_flags & SA_SIGINFO) != 0) {
    before.sa_sigaction(number, info, context);
  } else if (before.sa_handler == SIG_DFL || (before.sa_handler == SIG_IGN && of_system)) {
    signal(number, SIG_DFL);  // who touched the page does it again, and that ends the process
    if (!of_system) raise(number);
  } else if (before.sa_handler != SIG_IGN) {
    before.sa_handler(number);
  }
  errno = error;
}

std::optional<size_t> take_slot() {
  for (size_t i = 0; i < kSlots; ++i)
    if (!slots[i].taken.exchange(true)) return i;
  return std::nullopt;
}

}  // namespace

std::optional<GuardedPages> GuardedPages::map(const FileHandle& file, uint64_t offset,
                                              uint64_t length) {
  const auto skipped = static_cast<size_t>(offset % page_size());
  const uint64_t wanted = length + skipped;
  if (length == 0 || wanted > SIZE_MAX / 2 || !handler.acquire()) return std::nullopt;
  const std::optional<size_t> index = take_slot();
  const auto size = static_cast<size_t>(wanted);
  void* pages = index ? mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.native(),
                             static_cast<off_t>(offset - skipped))
                      : MAP_FAILED;
  if (pages == MAP_FAILED) {
    if (index) slots[*index].taken = false;
    handler.release();
    return std::nullopt;
  }
  Slot& slot = slots[*index];
  const auto begin = reinterpret_cast<uintptr_t>(pages);
  slot.lost = 0;
  slot.end = (begin + size + page_size() - 1) & ~(page_size() - 1);
  slot.begin = begin;
  return GuardedPages({static_cast<const std::byte*>(pages), size}, skipped, *index);
}

GuardedPages::~GuardedPages() {
  if (pages_.empty()) return;
  Slot& slot = slots[slot_];
  slot.begin = 0;
  munmap(const_cast<std::byte*>(pages_.data()), pages_.size());
  slot.taken = false;
  handler.release();
}

// Not by load(), which may happen in front of what was looked at before.
bool GuardedPages::lost() const { return slots[slot_].lost.fetch_or(0) != 0; }

#else

std::optional<GuardedPages> GuardedPages::map(const FileHandle&, uint64_t, uint64_t) {
  return std::nullopt;
}

GuardedPages::~GuardedPages() = default;

bool GuardedPages::lost() const { return false; }

#endif

}  // namespace torchmap
