#include "core/source/guarded_pages.h"

#include <algorithm>
#include <chrono>

#include "check.h"
#include "core/source/file_handle.h"
#include "core/source/slice.h"
#include "core/verify/archive.h"
#include "core/verify/ways.h"
#include "files.h"
#include "zip_bytes.h"

#ifdef __linux__
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>
#endif

using namespace torchmap;
using namespace torchmap::check;

#ifdef __linux__
namespace {

constexpr size_t kPage = 65536;  // no system has larger ones for files

std::string pages_of(size_t count) {
  std::string text(count * kPage, '\0');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(1 + i % 251);
  return text;
}

uint64_t sum(ByteSpan bytes) {
  uint64_t total = 0;
  for (const std::byte& byte : bytes) total += static_cast<uint64_t>(byte);
  return total;
}

struct sigaction current_handler() {
  struct sigaction now = {};
  sigaction(SIGBUS, nullptr, &now);
  return now;
}

// Of the process; sanitizers have one of their own.
const void* handler_of_bus() {
  return reinterpret_cast<const void*>(current_handler().sa_sigaction);
}
const void* const first_handler = handler_of_bus();

void set_handler(void (*handler)(int, siginfo_t*, void*)) {
  struct sigaction action = {};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGBUS, &action, nullptr);
}

// What a process ends with that does `work`: its exit code, or 1000 and the signal's number.
template <typename F>
int in_process(const F& work) {
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGBUS, SIG_DFL);
    signal(SIGALRM, SIG_DFL);
    alarm(20);
    _exit(work());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

// Touches a page that its file has lost, of a mapping that nobody guards.
int touch_lost_page() {
  TemporaryFile file(pages_of(1));
  auto handle = FileHandle::open(file.path());
  void* page = mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, handle->native(), 0);
  file.resize(0);
  return static_cast<int>(*static_cast<const volatile char*>(page));
}

}  // namespace

TEST(guarded_pages_hold_what_the_file_holds) {
  const std::string bytes = pages_of(3);
  TemporaryFile file(bytes);
  auto handle = FileHandle::open(file.path());
  ASSERT_TRUE(handle.ok());
  for (const auto& [offset, length] : {std::pair<size_t, size_t>{0, bytes.size()},
                                       {1, 1},
                                       {kPage - 1, 2},
                                       {kPage + 77, 2 * kPage - 77}}) {
    const auto pages = GuardedPages::map(*handle, offset, length);
    ASSERT_TRUE(pages.has_value());
    EXPECT_TRUE(as_text(pages->bytes()) == bytes.substr(offset, length));
    EXPECT_FALSE(pages->lost());
    EXPECT_TRUE(handler_of_bus() != first_handler);
  }
  EXPECT_FALSE(GuardedPages::map(*handle, 5, 0).has_value());
  EXPECT_TRUE(handler_of_bus() == first_handler);
}

TEST(guarded_pages_of_a_shortened_file_are_zeros) {
  TemporaryFile file(pages_of(4)), other(pages_of(1));
  auto handle = FileHandle::open(file.path()), whole = FileHandle::open(other.path());
  auto pages = GuardedPages::map(*handle, 3, 4 * kPage - 3);
  const auto neighbour = GuardedPages::map(*whole, 0, kPage);
  ASSERT_TRUE(pages.has_value() && neighbour.has_value());
  file.resize(kPage);
  EXPECT_TRUE(sum(pages->bytes().first(kPage - 3)) != 0);
  EXPECT_FALSE(pages->lost());
  EXPECT_EQ(sum(pages->bytes().subspan(2 * kPage)), uint64_t{0});
  EXPECT_TRUE(pages->lost());
  EXPECT_EQ(sum(pages->bytes().subspan(kPage - 3)), uint64_t{0});
  EXPECT_FALSE(neighbour->lost());
  EXPECT_TRUE(sum(neighbour->bytes()) != 0);
  // The next ones know nothing of those before.
  pages.reset();
  pages = GuardedPages::map(*handle, 0, kPage);
  ASSERT_TRUE(pages.has_value());
  EXPECT_TRUE(sum(pages->bytes()) != 0);
  EXPECT_FALSE(pages->lost());
}

TEST(guarded_pages_of_many_threads) {
  TemporaryFile file(pages_of(8));
  auto handle = FileHandle::open(file.path());
  file.resize(4 * kPage);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const auto pages = GuardedPages::map(*handle, t * kPage, kPage);
        const bool zeros = !pages || sum(pages->bytes()) == 0;
        if (!pages || zeros != (t >= 4) || pages->lost() != zeros) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_TRUE(handler_of_bus() == first_handler);
}

TEST(guarded_pages_are_not_more_than_there_is_room_for) {
  TemporaryFile file(pages_of(1));
  auto handle = FileHandle::open(file.path());
  std::vector<GuardedPages> all;
  for (int i = 0; i < 1000; ++i) {
    auto pages = GuardedPages::map(*handle, 0, kPage);
    if (pages) all.push_back(std::move(*pages));
  }
  EXPECT_TRUE(all.size() >= 32 && all.size() < 1000);
  all.clear();
  EXPECT_TRUE(GuardedPages::map(*handle, 0, kPage).has_value());
  EXPECT_TRUE(handler_of_bus() == first_handler);
}

// Of pages that nobody guards, and of kill(): as if there were no guarded pages at all.
TEST(guarded_pages_leave_other_signals_to_others) {
  TemporaryFile file(pages_of(1));
  auto handle = FileHandle::open(file.path());
  const auto with_pages = [&](auto work) {
    return in_process([&] {
      const auto pages = GuardedPages::map(*handle, 0, kPage);
      return pages ? work() : 99;
    });
  };
  EXPECT_EQ(with_pages([] { return touch_lost_page(); }), 1000 + SIGBUS);
  EXPECT_EQ(with_pages([] { return raise(SIGBUS); }), 1000 + SIGBUS);
  EXPECT_EQ(in_process([&] {
              set_handler([](int, siginfo_t* info, void*) { _exit(info->si_code > 0 ? 7 : 8); });
              const auto pages = GuardedPages::map(*handle, 0, kPage);
              return pages ? touch_lost_page() : 99;
            }),
            7);
  EXPECT_EQ(in_process([&] {
              signal(SIGBUS, [](int) { _exit(9); });
              const auto pages = GuardedPages::map(*handle, 0, kPage);
              return pages ? raise(SIGBUS) : 99;
            }),
            9);
  EXPECT_EQ(in_process([&] {
              signal(SIGBUS, SIG_IGN);
              const auto pages = GuardedPages::map(*handle, 0, kPage);
              return pages && raise(SIGBUS) == 0 ? 3 : 99;
            }),
            3);
}

// One that is set over ours stays, and there are no guarded pages from then on: the two could pass
// a signal to each other without end.
TEST(guarded_pages_make_room_for_later_handlers) {
  TemporaryFile file(pages_of(1));
  auto handle = FileHandle::open(file.path());
  EXPECT_EQ(in_process([&] {
              auto pages = GuardedPages::map(*handle, 0, kPage);
              if (!pages) return 99;
              static struct sigaction ours;
              ours = current_handler();
              set_handler([](int number, siginfo_t* info, void* context) {
                ours.sa_sigaction(number, info, context);
              });
              if (GuardedPages::map(*handle, 0, kPage)) return 1;
              file.resize(0);
              if (sum(pages->bytes()) != 0 || !pages->lost()) return 2;
              const struct sigaction theirs = current_handler();
              pages.reset();
              if (current_handler().sa_sigaction != theirs.sa_sigaction) return 3;
              return GuardedPages::map(*handle, 0, kPage) ? 4 : touch_lost_page();
            }),
            1000 + SIGBUS);
}

TEST(guarded_pages_are_not_for_threads_that_signals_do_not_reach) {
  TemporaryFile file(pages_of(1));
  auto handle = FileHandle::open(file.path());
  sigset_t bus, before;
  sigemptyset(&bus);
  sigaddset(&bus, SIGBUS);
  pthread_sigmask(SIG_BLOCK, &bus, &before);
  EXPECT_FALSE(GuardedPages::map(*handle, 0, kPage).has_value());
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  EXPECT_TRUE(GuardedPages::map(*handle, 0, kPage).has_value());
}

namespace {

// Makes the file shorter as soon as somebody has pages of it.
class Shrinking final : public Source {
 public:
  Shrinking(std::shared_ptr<Source> base, TemporaryFile& file)
      : base_(std::move(base)), file_(file) {
    identity_ = base_->identity();
  }
  Result<ByteSpan> view(uint64_t offset, uint64_t length) override {
    return base_->view(offset, length);
  }
  Status read(uint64_t offset, std::span<std::byte> target) override {
    return base_->read(offset, target);
  }
  std::optional<GuardedPages> pages(uint64_t offset, uint64_t length) const override {
    auto pages = base_->pages(offset, length);
    if (pages) file_.resize(kPage);
    asked = asked || pages;
    return pages;
  }
  Status check_unchanged() const override { return base_->check_unchanged(); }

  mutable std::atomic<bool> asked = false;

 private:
  std::shared_ptr<Source> base_;
  TemporaryFile& file_;
};

}  // namespace

TEST(verify_of_a_file_that_shrinks_meanwhile) {
  ZipBytes zip;
  zip.add("archive/data.pkl", "abc");
  for (int i = 0; i < 8; ++i) zip.add("archive/data/" + std::to_string(i), pages_of(40));
  const std::string bytes = zip.finish();
  for (const uint32_t threads : {1u, 3u}) {
    TemporaryFile file(bytes);
    auto source = open_file(file.path(), {});
    ASSERT_TRUE(source.ok());
    Shrinking shrinking((*source)->reader(), file);
    VerifyOptions options;
    options.threads = threads;
    auto rows = verify_archive(shrinking, options);
    ASSERT_FALSE(rows.ok());
    EXPECT_TRUE(rows.status().code() == Code::kFileChanged);
    EXPECT_TRUE(shrinking.asked);
    EXPECT_TRUE(handler_of_bus() == first_handler);
  }
}

// Pages are for files that are mapped: who wants no mapping gets none.
TEST(pages_of_sources) {
  const std::string bytes = pages_of(2);
  TemporaryFile file(bytes);
  auto mapped = open_file(file.path(), {true}), read = open_file(file.path(), {false});
  ASSERT_TRUE(mapped.ok() && read.ok());
  const auto pages = (*mapped)->reader()->pages(5, 6);
  ASSERT_TRUE(pages.has_value());
  EXPECT_TRUE(as_text(pages->bytes()) == bytes.substr(5, 6));
  EXPECT_FALSE((*mapped)->reader()->pages(bytes.size() - 1, 2).has_value());
  EXPECT_FALSE((*read)->reader()->pages(5, 6).has_value());
  auto slice = slice_source((*mapped)->reader(), kPage, 100);
  ASSERT_TRUE(slice.ok());
  const auto part = (*slice)->pages(1, 99);
  ASSERT_TRUE(part.has_value());
  EXPECT_TRUE(as_text(part->bytes()) == bytes.substr(kPage + 1, 99));
  EXPECT_FALSE((*slice)->pages(1, 100).has_value());
}
#endif

namespace {

// Each way takes as long as is said, over and over.
std::vector<Way> ways_taken(int pages_ms, int read_ms, size_t count) {
  Ways ways;
  std::vector<Way> taken;
  for (size_t i = 0; i < count; ++i) {
    taken.push_back(ways.next());
    const int ms = taken.back() == Way::kPages ? pages_ms : read_ms;
    ways.took(taken.back(), Ways::Clock::now() - std::chrono::milliseconds(ms), 1000);
  }
  return taken;
}

}  // namespace

TEST(ways_tries_both_and_stays_with_the_quicker_one) {
  for (const bool pages : {true, false}) {
    const auto taken = ways_taken(pages ? 100 : 5000, pages ? 5000 : 100, 100);
    const Way best = pages ? Way::kPages : Way::kRead;
    EXPECT_TRUE(std::count(taken.begin(), taken.begin() + 12, Way::kPages) == 8);
    EXPECT_TRUE(std::count(taken.begin() + 12, taken.end(), best) == 88);
  }
}

TEST(ways_reads_where_there_are_no_pages) {
  Ways ways;
  for (int i = 0; i < 50; ++i) {
    const Way way = ways.next();
    if (i >= 12) EXPECT_TRUE(way == Way::kRead);
    ways.took(Way::kRead, Ways::Clock::now(), 1000);
  }
}
