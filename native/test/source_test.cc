#include "core/source/source.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include "check.h"
#include "core/source/slice.h"
#include "files.h"

using namespace torchmap;
using namespace torchmap::check;

namespace {

constexpr std::string_view kText = "the quick brown fox";

// Both ways to open a file must behave the same but for mapped().
template <typename Body>
void with_each_source(const std::string& path, Body body) {
  for (const bool map : {true, false}) {
    auto source = open_file(path, {map});
    EXPECT_TRUE(source.ok());
    if (source.ok()) body(**source);
  }
}

// Fails to open in both ways, with this errno.
void expect_refused(const std::string& path, int error) {
  for (const bool map : {true, false}) {
    auto source = open_file(path, {map});
    ASSERT_FALSE(source.ok());
    EXPECT_EQ(source.status().code(), Code::kIo);
    EXPECT_EQ(source.status().failure().actual, error);
    EXPECT_FALSE(source.status().failure().subject.empty());
  }
}

}  // namespace

TEST(source_views_and_reads) {
  const TemporaryFile file(kText);
  with_each_source(file.path(), [](Source& source) {
    EXPECT_EQ(source.size(), kText.size());
    EXPECT_NE(source.identity().inode, 0);
    EXPECT_GT(source.identity().mtime_ns, 0);
    auto view = source.view(4, 5);
    ASSERT_TRUE(view.ok());
    EXPECT_EQ(as_text(*view), "quick");
    std::array<std::byte, 3> target;
    ASSERT_TRUE(source.read(16, target).ok());
    EXPECT_EQ(as_text(target), "fox");
    EXPECT_TRUE(source.view(kText.size(), 0).ok());
    EXPECT_TRUE(source.check_unchanged().ok());
  });
}

TEST(source_views_of_one_range_are_one) {
  const TemporaryFile file(kText);
  with_each_source(file.path(), [](Source& source) {
    const std::byte* first = source.view(4, 5).value().data();
    static_cast<void>(source.view(4, 6));
    EXPECT_TRUE(source.view(4, 5).value().data() == first);
  });
}

TEST(source_refuses_what_is_not_there) {
  const TemporaryFile file(kText);
  with_each_source(file.path(), [](Source& source) {
    for (const auto& [offset, length] :
         {std::pair<uint64_t, uint64_t>{15, 5}, {20, 0}, {UINT64_MAX, 1}, {1, UINT64_MAX}}) {
      auto view = source.view(offset, length);
      ASSERT_FALSE(view.ok());
      EXPECT_EQ(view.status().code(), Code::kTruncated);
    }
    std::array<std::byte, 2> target;
    EXPECT_EQ(source.read(18, target).code(), Code::kTruncated);
  });
}

TEST(source_mapping_is_private_and_writable) {
  const TemporaryFile file(kText);
  auto source = open_file(file.path(), {});
  ASSERT_TRUE(source.ok());
  const std::span<std::byte> pages = (*source)->mapped();
  ASSERT_EQ(pages.size(), kText.size());
  pages[0] = std::byte{'T'};
  EXPECT_EQ(as_text((*source)->view(0, 3).value()), "The");
  // read() tells what the file holds.
  std::array<std::byte, 3> target;
  ASSERT_TRUE((*source)->read(0, target).ok());
  EXPECT_EQ(as_text(target), "the");
}

TEST(source_unmapped_is_closed) {
  const TemporaryFile file(kText);
  auto source = open_file(file.path(), {});
  ASSERT_TRUE(source.ok());
  for (int again = 0; again < 2; ++again) {
    (*source)->unmap();
    EXPECT_TRUE((*source)->mapped().empty());
    EXPECT_EQ((*source)->size(), kText.size());
    EXPECT_EQ((*source)->view(0, 3).status().code(), Code::kClosed);
    EXPECT_EQ((*source)->check_unchanged().code(), Code::kClosed);
  }
}

TEST(source_empty_file) {
  const TemporaryFile file;
  with_each_source(file.path(), [](Source& source) {
    EXPECT_EQ(source.size(), 0);
    EXPECT_TRUE(source.mapped().empty());
    EXPECT_TRUE(source.view(0, 0).ok());
    EXPECT_TRUE(source.read(0, {}).ok());
    EXPECT_FALSE(source.view(0, 1).ok());
    EXPECT_TRUE(source.check_unchanged().ok());
  });
}

TEST(source_refuses_what_is_no_file) {
  expect_refused("/nonexistent/checkpoint.pt", ENOENT);
  expect_refused("", ENOENT);
  expect_refused("/", EISDIR);
  expect_refused("/dev/zero", EINVAL);
  expect_refused(std::string("/dev/null\0.pt", 13), EINVAL);
  // Opening a FIFO that nobody writes to must not wait.
  const TemporaryFile file;
  const std::string fifo = file.path() + ".fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  expect_refused(fifo, EINVAL);
  unlink(fifo.c_str());
}

TEST(source_sees_changes) {
  TemporaryFile file(kText);
  with_each_source(file.path(), [&](Source& source) {
    file.resize(kText.size() + 1);
    EXPECT_EQ(source.check_unchanged().code(), Code::kFileChanged);
    file.resize(kText.size());
  });
  with_each_source(file.path(), [&](Source& source) {
    timespec times[2] = {{0, UTIME_OMIT}, {1, 5}};
    ASSERT_EQ(utimensat(AT_FDCWD, file.path().c_str(), times, 0), 0);
    const Status status = source.check_unchanged();
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.code(), Code::kFileChanged);
    times[1].tv_nsec = 6;
    ASSERT_EQ(utimensat(AT_FDCWD, file.path().c_str(), times, 0), 0);
  });
}

TEST(source_reading_a_shortened_file_fails) {
  TemporaryFile file(kText);
  with_each_source(file.path(), [&](Source& source) {
    file.resize(4);
    std::array<std::byte, 8> target;
    EXPECT_EQ(source.read(0, target).code(), Code::kFileChanged);
    file.resize(kText.size());
  });
}

TEST(source_does_not_mind_a_file_renamed_over_it) {
  const TemporaryFile file(kText);
  const TemporaryFile other("another");
  with_each_source(file.path(), [&](Source& source) {
    if (source.mapped().empty()) return;  // by then the file is the other
    ASSERT_EQ(rename(other.path().c_str(), file.path().c_str()), 0);
    EXPECT_TRUE(source.check_unchanged().ok());
    EXPECT_EQ(as_text(source.view(0, 3).value()), "the");
  });
}

TEST(source_reaches_beyond_4_gib) {
  TemporaryFile file;
  const uint64_t place = (uint64_t{5} << 30) + 3;
  file.write(place, kText);
  ASSERT_TRUE(file.ok());
  with_each_source(file.path(), [&](Source& source) {
    EXPECT_EQ(source.size(), place + kText.size());
    EXPECT_EQ(as_text(source.view(place, 9).value()), "the quick");
    std::array<std::byte, 3> target;
    ASSERT_TRUE(source.read(place + 16, target).ok());
    EXPECT_EQ(as_text(target), "fox");
  });
}

TEST(source_memory_copies) {
  std::string text(kText);
  const auto source = open_memory(as_bytes(text));
  const ByteSpan view = source->view(4, 5).value();
  EXPECT_TRUE(source->mapped().empty());
  EXPECT_FALSE(source->view(15, 5).ok());
  text.assign(text.size(), '-');
  EXPECT_EQ(as_text(view), "quick");
}

TEST(source_memory_after_release) {
  std::string text(kText);
  const auto source = open_memory(as_bytes(text));
  const ByteSpan view = source->view(4, 5).value();
  source->release();
  text = std::string();
  EXPECT_EQ(as_text(view), "quick");
  EXPECT_EQ(source->size(), kText.size());
  auto again = source->view(4, 5);
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.status().code(), Code::kClosed);
  std::array<std::byte, 3> target;
  EXPECT_EQ(source->read(0, target).code(), Code::kClosed);
}

TEST(source_empty_memory) {
  const auto source = open_memory({});
  EXPECT_EQ(source->size(), 0);
  EXPECT_TRUE(source->view(0, 0).ok());
  EXPECT_FALSE(source->view(0, 1).ok());
}

TEST(source_slice_is_a_file_of_its_own) {
  const TemporaryFile file("0123456789");
  for (const bool map : {true, false}) {
    auto base = open_file(file.path(), {map});
    ASSERT_TRUE(base.ok());
    auto slice = slice_source(*base, 3, 4);
    ASSERT_TRUE(slice.ok());
    EXPECT_EQ((*slice)->size(), 4);
    auto all = (*slice)->view(0, 4);
    ASSERT_TRUE(all.ok());
    EXPECT_EQ(as_text(*all), "3456");
    std::byte two[2];
    EXPECT_TRUE((*slice)->read(2, two).ok());
    EXPECT_EQ(as_text(two), "56");
    EXPECT_TRUE((*slice)->view(2, 3).status().code() == Code::kTruncated);
    EXPECT_TRUE((*slice)->view(UINT64_MAX, 2).status().code() == Code::kTruncated);
    EXPECT_EQ((*slice)->mapped().size(), map ? 4 : 0);
    EXPECT_TRUE((*slice)->check_unchanged().ok());
    (*slice)->unmap();
    EXPECT_TRUE((*slice)->view(0, 1).status().code() == Code::kClosed);
    EXPECT_TRUE((*slice)->check_unchanged().code() == Code::kClosed);
    EXPECT_TRUE((*base)->view(0, 10).ok());
  }
}

TEST(source_slice_lies_in_its_base) {
  const TemporaryFile file("0123456789");
  auto base = open_file(file.path(), {});
  ASSERT_TRUE(base.ok());
  EXPECT_TRUE(slice_source(*base, 10, 0).ok());
  for (const auto& [offset, length] :
       {std::pair<uint64_t, uint64_t>{8, 3}, {11, 0}, {UINT64_MAX, 1}, {1, UINT64_MAX}}) {
    auto slice = slice_source(*base, offset, length);
    ASSERT_TRUE(!slice.ok());
    EXPECT_TRUE(slice.status().code() == Code::kTruncated);
  }
}

#ifdef __linux__
namespace {

size_t pages_in_memory(std::span<std::byte> mapped) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> states((mapped.size() + page - 1) / page);
  if (mincore(mapped.data(), mapped.size(), states.data()) != 0) return SIZE_MAX;
  return static_cast<size_t>(
      std::count_if(states.begin(), states.end(), [](unsigned char state) { return state & 1; }));
}

unsigned sum(ByteSpan bytes) {
  unsigned total = 0;
  for (const std::byte byte : bytes) total += std::to_integer<unsigned>(byte);
  return total;
}

}  // namespace

TEST(mapping_brings_in_nothing_around_scattered_views) {
  const uint64_t size = uint64_t{24} << 20, middle = uint64_t{12} << 20;
  TemporaryFile file(std::string(size, 'x'));
  file.forget();
  ASSERT_TRUE(file.ok());
  auto source = open_file(file.path(), {true});
  ASSERT_TRUE(source.ok());
  if (pages_in_memory((*source)->mapped()) != 0) return;  // a file system that forgets nothing
  (*source)->expect_scattered(true);
  auto head = (*source)->view(0, 4096), part = (*source)->view(middle, 100'000);
  ASSERT_TRUE(head.ok() && part.ok());
  EXPECT_EQ(sum(*head) + sum(*part), 104'096u * 'x');
  EXPECT_TRUE(pages_in_memory((*source)->mapped()) <= 1 + 100'000 / 4096 + 2);
  // The other advice is the system's own business; what is read stays the same.
  (*source)->expect_scattered(false);
  auto rest = (*source)->view(size - 50'000, 50'000);
  ASSERT_TRUE(rest.ok());
  EXPECT_EQ(sum(*rest), 50'000u * 'x');
}

TEST(mapping_asks_for_all_of_a_scattered_view) {
  const uint64_t size = uint64_t{24} << 20;
  TemporaryFile file(std::string(size, 'x'));
  file.forget();
  ASSERT_TRUE(file.ok());
  auto source = open_file(file.path(), {true});
  ASSERT_TRUE(source.ok());
  (*source)->expect_scattered(true);
  ASSERT_TRUE((*source)->view(0, size).ok());
  // The system is still reading when it has been asked.
  const size_t wanted = size / static_cast<size_t>(sysconf(_SC_PAGESIZE));
  for (int turn = 0; turn < 1000 && pages_in_memory((*source)->mapped()) < wanted; ++turn)
    usleep(10'000);
  EXPECT_EQ(pages_in_memory((*source)->mapped()), wanted);
}
#endif
