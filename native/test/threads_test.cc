// Work that several threads share, and the failure that is told of many.
#include "core/threads.h"

#include <vector>

#include "check.h"

using namespace torchmap;
using namespace torchmap::check;

TEST(threads_of_failures_the_first_is_told) {
  FirstFailure outcome;
  EXPECT_FALSE(outcome.stopped());
  outcome.watch([] { return Status(); });
  EXPECT_FALSE(outcome.stopped());
  outcome.watch([] { return Status(Code::kTruncated, "first"); });
  EXPECT_TRUE(outcome.stopped());
  outcome.watch([] { return Status(Code::kBadRecord, "second"); });
  outcome.watch([] { return Status(); });
  const Status status = outcome.take();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.failure().message, "first");
}

TEST(threads_that_all_went_well) {
  FirstFailure outcome;
  in_parallel(100, 1, [&](uint64_t, uint64_t) noexcept { outcome.watch([] { return Status(); }); });
  EXPECT_TRUE(outcome.take().ok());
}

TEST(threads_without_memory) {
  FirstFailure outcome;
  outcome.watch([]() -> Status { throw std::bad_alloc(); });
  EXPECT_TRUE(outcome.stopped());
  outcome.watch([] { return Status(Code::kTruncated, "later"); });
  bool thrown = false;
  try {
    static_cast<void>(outcome.take());
  } catch (const std::bad_alloc&) {
    thrown = true;
  }
  EXPECT_TRUE(thrown);
}

// Every thread fails; one failure comes out whole, and work stops long before the end.
TEST(threads_stop_once_one_has_failed) {
  FirstFailure outcome;
  std::atomic<uint64_t> done = 0;
  in_parallel(100000, 1, [&](uint64_t begin, uint64_t) noexcept {
    if (outcome.stopped()) return;
    done.fetch_add(1);
    outcome.watch([&] { return Status(Code::kTruncated, "piece " + std::to_string(begin)); });
  });
  EXPECT_LE(done.load(), uint64_t{kMostThreads});
  const Status status = outcome.take();
  ASSERT_FALSE(status.ok());
  EXPECT_TRUE(status.failure().message.starts_with("piece "));
}
