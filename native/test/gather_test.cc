// Strided views to row-major order, against the definition.
#include "core/kernels/gather.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "check.h"
#include "core/torch/geometry.h"

using namespace torchmap;
using namespace torchmap::check;

namespace {

using Numbers = std::vector<int64_t>;

// Element after element, by index arithmetic.
std::vector<std::byte> by_definition(const std::vector<std::byte>& source, size_t itemsize,
                                     const Numbers& sizes, const Numbers& strides) {
  std::vector<std::byte> out;
  Numbers index(sizes.size(), 0);
  for (;;) {
    int64_t at = 0;
    for (size_t d = 0; d < sizes.size(); ++d) at += index[d] * strides[d];
    const auto first = source.begin() + at * static_cast<int64_t>(itemsize);
    out.insert(out.end(), first, first + static_cast<int64_t>(itemsize));
    size_t d = sizes.size();
    while (d > 0 && ++index[d - 1] == sizes[d - 1]) index[--d] = 0;
    if (d == 0) return out;
  }
}

void expect_gathers(uint32_t itemsize, const Numbers& sizes, const Numbers& strides) {
  auto geometry = check_geometry(0, sizes, strides);
  ASSERT_TRUE(geometry.ok());
  // No byte more than the view reaches, so that reading past it is found out.
  std::vector<std::byte> source(geometry->extent * itemsize);
  for (size_t i = 0; i < source.size(); ++i) source[i] = static_cast<std::byte>(i * 7 + i / 251);
  std::vector<std::byte> target(geometry->numel * itemsize);
  gather(source.data(), itemsize, sizes, strides, target.data());
  EXPECT_TRUE(target == by_definition(source, itemsize, sizes, strides));
}

}  // namespace

TEST(gather_shapes) {
  for (const uint32_t itemsize : {1u, 2u, 4u, 8u, 16u}) {
    expect_gathers(itemsize, {}, {});
    expect_gathers(itemsize, {1}, {9});
    expect_gathers(itemsize, {5}, {1});
    expect_gathers(itemsize, {5}, {3});
    expect_gathers(itemsize, {3, 4}, {4, 1});
    expect_gathers(itemsize, {3, 4}, {1, 3});
    expect_gathers(itemsize, {2, 3, 4, 5}, {60, 1, 15, 3});  // channels last
    expect_gathers(itemsize, {2, 1, 3}, {3, 99, 1});
    expect_gathers(itemsize, {4, 3}, {0, 1});
    expect_gathers(itemsize, {4, 3}, {0, 0});
    expect_gathers(itemsize, {3, 3}, {1, 1});  // elements overlap
    expect_gathers(itemsize, {2, 3, 4}, {100, 20, 3});
    expect_gathers(itemsize, {2, 3, 4}, {24, 4, 1});
  }
}

TEST(gather_random_views) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    Numbers sizes(random() % 5), strides(sizes.size());
    for (int64_t& size : sizes) size = 1 + random() % 4;
    for (int64_t& stride : strides) stride = random() % 9;
    expect_gathers(uint32_t{1} << random() % 5, sizes, strides);
  }
}

// Past the sides of tiles and squares, and enough for several threads.
TEST(gather_tiles) {
  for (const uint32_t itemsize : {1u, 2u, 4u, 8u, 16u}) {
    expect_gathers(itemsize, {130, 67}, {1, 131});  // a slice of a transposed matrix
    expect_gathers(itemsize, {64, 64}, {1, 64});
    expect_gathers(itemsize, {3, 200}, {1, 3});  // channels last, the channels first
    expect_gathers(itemsize, {200, 3}, {1, 200});
    expect_gathers(itemsize, {17, 70, 5, 9}, {3150, 1, 630, 70});
    expect_gathers(itemsize, {70, 33}, {2, 200});      // nothing lies together
    expect_gathers(itemsize, {5, 40, 2}, {2, 10, 1});  // pairs lie together
    expect_gathers(itemsize, {9, 40, 3}, {3, 27, 1});  // and what is no larger element
    expect_gathers(itemsize, {6, 66, 4}, {0, 1, 66});
  }
  expect_gathers(4, {1100, 900}, {1, 1100});
  expect_gathers(2, {40, 90, 700}, {1, 28'000, 40});
  expect_gathers(1, {4'500'000}, {2});
  expect_gathers(8, {3, 300'000}, {1, 3});
  expect_gathers(4, {2000, 600}, {601, 1});
}

// Dimensions of random sizes in random order, some of them cut and some of them stepped over.
TEST(gather_random_permutations) {
  std::mt19937 random(2);
  for (int round = 0; round < 400; ++round) {
    Numbers sizes(1 + random() % 5), strides(sizes.size()), order(sizes.size());
    for (int64_t& size : sizes) size = 1 + random() % (sizes.size() < 3 ? 150 : 20);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    int64_t stride = 1 + random() % 8 / 7;
    for (const int64_t place : order) {
      const auto d = static_cast<size_t>(place);
      strides[d] = random() % 12 == 0 ? 0 : stride;
      stride *= sizes[d] + static_cast<int64_t>(random() % 3 == 0 ? random() % 4 : 0);
    }
    expect_gathers(uint32_t{1} << random() % 5, sizes, strides);
  }
}

TEST(gather_nothing) {
  std::byte target{7};
  const Numbers sizes = {3, 0, int64_t{1} << 62}, strides = {INT64_MAX, INT64_MAX, INT64_MAX};
  gather(nullptr, 4, sizes, strides, &target);
  EXPECT_EQ(std::to_integer<int>(target), 7);
}

TEST(gather_two_hundred_dimensions) {
  Numbers sizes(200, 1), strides(200, 5);
  sizes[7] = 3;
  sizes[150] = 2;
  expect_gathers(4, sizes, strides);
}

TEST(swap_units) {
  const auto swapped = [](std::string_view text, uint32_t unit) {
    std::string bytes(text);
    swap_bytes(std::as_writable_bytes(std::span(bytes.data(), bytes.size())), unit);
    return bytes;
  };
  EXPECT_EQ(swapped("abcdefgh", 1), "abcdefgh");
  EXPECT_EQ(swapped("abcdefgh", 2), "badcfehg");
  EXPECT_EQ(swapped("abcdefgh", 4), "dcbahgfe");
  EXPECT_EQ(swapped("abcdefgh", 8), "hgfedcba");
  EXPECT_EQ(swapped("abcde", 2), "badce");  // a rest is left alone
  EXPECT_EQ(swapped("abc", 4), "abc");
  EXPECT_EQ(swapped("", 8), "");
  EXPECT_EQ(swapped("abc", 0), "abc");
}
