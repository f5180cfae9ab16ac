// Bytes of an object that is elsewhere.
#include "core/source/ranges.h"

#include <array>

#include "check.h"

using namespace torchmap;
using namespace torchmap::check;

namespace {

constexpr std::string_view kObject = "the quick brown fox";

}  // namespace

TEST(ranges_views_and_reads_what_is_here) {
  RangesSource source(kObject.size());
  EXPECT_EQ(source.size(), kObject.size());
  ASSERT_TRUE(source.supply(4, as_bytes(kObject.substr(4, 5))).ok());
  auto first = source.view(4, 5);
  ASSERT_TRUE(first.ok());
  for (uint64_t at = 10; at < kObject.size(); ++at)
    ASSERT_TRUE(source.supply(at, as_bytes(kObject.substr(at, 1))).ok());
  // Views stay where they are however much comes after them.
  EXPECT_EQ(as_text(*first), "quick");
  std::array<std::byte, 3> target;
  ASSERT_TRUE(source.read(5, target).ok());
  EXPECT_EQ(as_text(target), "uic");
  EXPECT_FALSE(source.take_missing().has_value());
  EXPECT_TRUE(source.mapped().empty());
}

TEST(ranges_says_what_is_missing) {
  RangesSource source(kObject.size());
  ASSERT_TRUE(source.supply(0, as_bytes(kObject.substr(0, 9))).ok());
  auto view = source.view(4, 6);
  ASSERT_FALSE(view.ok());
  EXPECT_EQ(view.status().code(), Code::kNotLoaded);
  EXPECT_EQ(*view.status().failure().offset, 4);
  EXPECT_EQ(view.status().failure().limit, 6);
  std::array<std::byte, 2> target;
  EXPECT_FALSE(source.read(17, target).ok());
  // The first one is remembered, once.
  const auto missing = source.take_missing();
  ASSERT_TRUE(missing.has_value());
  EXPECT_EQ(missing->offset, 4);
  EXPECT_EQ(missing->length, 6);
  EXPECT_FALSE(source.take_missing().has_value());
}

TEST(ranges_outside_the_object_are_truncated) {
  RangesSource source(kObject.size());
  EXPECT_EQ(source.view(kObject.size(), 1).status().code(), Code::kTruncated);
  EXPECT_EQ(source.view(UINT64_MAX, 1).status().code(), Code::kTruncated);
  EXPECT_EQ(source.supply(17, as_bytes(kObject.substr(0, 3))).code(), Code::kTruncated);
  EXPECT_EQ(source.supply(UINT64_MAX, as_bytes(kObject)).code(), Code::kTruncated);
  EXPECT_FALSE(source.take_missing().has_value());
}
