#include "core/load.h"

#include <algorithm>
#include <cstring>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include "check.h"
#include "core/source/clean_pages.h"
#include "files.h"

using namespace torchmap;
using namespace torchmap::check;

namespace {

// Bytes that tell where they are.
std::string pattern(size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 131 + (i >> 8) * 7);
  return bytes;
}

std::shared_ptr<Source> reader_of(const std::string& path) {
  auto source = open_file(path, {true});
  EXPECT_TRUE(source.ok());
  return source.ok() ? (*source)->reader() : nullptr;
}

Load load_of(uint64_t offset, std::vector<std::byte>& target, DType dtype = DType::kUInt8) {
  Load load;
  load.offset = offset;
  load.bytes = target.size();
  load.dtype = dtype;
  load.target = target.data();
  return load;
}

}  // namespace

TEST(load_fills_targets_of_all_sizes) {
  const std::string bytes = pattern((size_t{9} << 20) + 77);
  const TemporaryFile file(bytes);
  const auto reader = reader_of(file.path());
  const std::pair<uint64_t, size_t> ranges[] = {
      {0, 1},
      {5, 0},
      {3, 4095},
      {4096, 4096},
      {1, 4097},
      {100, size_t{8} << 20},
      {bytes.size() - 1, 1},
      {7, bytes.size() - 7},
  };
  std::vector<std::vector<std::byte>> targets;
  for (const auto& range : ranges) targets.emplace_back(range.second, std::byte{0xEE});
  std::vector<Load> loads;
  uint64_t total = 0;
  for (size_t i = 0; i < targets.size(); ++i) {
    loads.push_back(load_of(ranges[i].first, targets[i]));
    total += targets[i].size();
  }
  std::atomic<uint64_t> done = 0;
  LoadOptions options;
  options.done = &done;
  ASSERT_TRUE(load(*reader, loads, options).ok());
  EXPECT_EQ(done.load(), total);
  for (size_t i = 0; i < targets.size(); ++i) {
    EXPECT_TRUE(as_text(targets[i]) ==
                std::string_view(bytes).substr(ranges[i].first, ranges[i].second));
  }
}

TEST(load_converts_on_the_way) {
  constexpr size_t kCount = 5'000'001;
  std::string bytes(3 + 2 * kCount, '\0');
  for (size_t i = 0; i < kCount; ++i) {
    const auto value = static_cast<int16_t>(i * 40503);
    std::memcpy(&bytes[3 + 2 * i], &value, 2);
  }
  const TemporaryFile file(bytes);
  std::vector<float> target(kCount + 1, -1);
  Load row;
  row.offset = 3;
  row.bytes = 2 * kCount;
  row.dtype = DType::kInt16;
  row.to_float32 = true;
  row.target = reinterpret_cast<std::byte*>(target.data());
  ASSERT_TRUE(load(*reader_of(file.path()), {row}, {}).ok());
  size_t wrong = 0;
  for (size_t i = 0; i < kCount; ++i)
    wrong += target[i] != static_cast<float>(static_cast<int16_t>(i * 40503));
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(target[kCount], -1.0f);
}

TEST(load_fails_by_its_code) {
  const TemporaryFile file(pattern(100));
  const auto reader = reader_of(file.path());
  std::vector<std::byte> target(50);
  const std::atomic<bool> cancelled = true;
  LoadOptions options;
  options.cancelled = &cancelled;
  EXPECT_EQ(load(*reader, {load_of(0, target)}, options).code(), Code::kCancelled);
  EXPECT_EQ(load(*reader, {load_of(51, target)}, {}).code(), Code::kTruncated);
  EXPECT_TRUE(load(*reader, {}, {}).ok());
}

TEST(drop_leaves_what_was_written) {
  const std::string bytes = pattern(size_t{40} << 10);
  const TemporaryFile file(bytes);
  auto source = open_file(file.path(), {true});
  ASSERT_TRUE(source.ok());
  const auto pages = (*source)->mapped();
  pages[5000] = std::byte{1};
  pages[39000] = std::byte{2};
  for (const bool release : {false, true}) (*source)->drop(100, bytes.size() - 100, release);
  EXPECT_EQ(pages[5000], std::byte{1});
  EXPECT_EQ(pages[39000], std::byte{2});
  size_t wrong = 0;
  for (size_t i = 0; i < bytes.size(); ++i) wrong += pages[i] != static_cast<std::byte>(bytes[i]);
  EXPECT_EQ(wrong, 2u);
  (*source)->drop(0, bytes.size() + 1, true);  // outside: nothing
}

TEST(load_fresh_by_one_thread_and_by_several) {
  const std::string bytes = pattern((size_t{9} << 20) + 77);
  TemporaryFile file(bytes);
  for (const bool map : {true, false}) {
    auto source = open_file(file.path(), {map});
    ASSERT_TRUE(source.ok());
    for (const size_t size : {size_t{0}, size_t{5000}, (size_t{9} << 20) + 70}) {
      std::vector<std::byte> target(size);
      ASSERT_TRUE(load_fresh(**source, 7, target).ok());
      EXPECT_TRUE(as_text(target) == std::string_view(bytes).substr(7, size));
    }
    std::vector<std::byte> target(bytes.size());
    EXPECT_EQ(load_fresh(**source, 1, target).code(), Code::kTruncated);
  }
  // Its own bytes, which have no reader.
  const auto memory = open_memory(as_bytes(bytes));
  std::vector<std::byte> target(size_t{9} << 20);
  ASSERT_TRUE(load_fresh(*memory, 77, target).ok());
  EXPECT_EQ(std::memcmp(target.data(), bytes.data() + 77, target.size()), 0);
  // Shorter than it was: a failure, whatever it is opened by.
  for (const bool map : {true, false}) {
    auto source = open_file(file.path(), {map});
    ASSERT_TRUE(source.ok());
    file.resize(size_t{5} << 20);
    EXPECT_EQ(load_fresh(**source, 0, target).code(), Code::kFileChanged);
    std::vector<std::byte> few(100);
    EXPECT_EQ(load_fresh(**source, size_t{6} << 20, few).code(), Code::kFileChanged);
    (*source)->reader()->read_ahead(0, bytes.size());  // as far as it goes
    file.resize(bytes.size());
  }
}

#ifdef __linux__
TEST(read_ahead_brings_in_all_of_it) {
  const std::string bytes = pattern((size_t{33} << 20) + 77);
  TemporaryFile file(bytes);
  auto source = open_file(file.path(), {true});
  ASSERT_TRUE(source.ok());
  const auto pages = (*source)->mapped();
  std::vector<unsigned char> there((pages.size() + 4095) / 4096);
  const auto resident = [&] {
    EXPECT_EQ(mincore(pages.data(), pages.size(), there.data()), 0);
    return std::count_if(there.begin(), there.end(), [](auto page) { return (page & 1) != 0; });
  };
  // What stays in memory in spite of it may look like all of it: nothing can be told then.
  for (int turn = 0; turn < 10 && (turn == 0 || resident() != 0); ++turn) file.forget();
  ASSERT_TRUE(file.ok());
  if (resident() != 0) return;
  const auto reader = (*source)->reader();
  reader->read_ahead(bytes.size() + 1, 1);  // outside: nothing
  EXPECT_EQ(resident(), 0);
  for (int again = 0; again < 2; ++again) {
    reader->read_ahead(0, bytes.size());
    EXPECT_EQ(static_cast<size_t>(resident()), there.size());
  }
}
#endif
