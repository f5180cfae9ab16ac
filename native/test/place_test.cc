// Blocks in larger arrays, against the definition.
#include "core/kernels/place.h"

#include <random>
#include <vector>

#include "check.h"

using namespace torchmap;
using namespace torchmap::check;

namespace {

using Numbers = std::vector<int64_t>;

size_t product(const Numbers& sizes) {
  size_t count = 1;
  for (const int64_t size : sizes) count *= static_cast<size_t>(size);
  return count;
}

// Element after element, by index arithmetic.
void by_definition(const std::vector<std::byte>& block, size_t itemsize, const Numbers& sizes,
                   const Numbers& offsets, const Numbers& shape, std::vector<std::byte>& target) {
  for (size_t i = 0; i < product(sizes); ++i) {
    size_t left = i, at = 0, step = 1;
    for (size_t d = sizes.size(); d > 0; --d) {
      const auto size = static_cast<size_t>(sizes[d - 1]);
      at += (left % size + static_cast<size_t>(offsets[d - 1])) * step;
      left /= size;
      step *= static_cast<size_t>(shape[d - 1]);
    }
    for (size_t b = 0; b < itemsize; ++b) target[at * itemsize + b] = block[i * itemsize + b];
  }
}

void expect_places(uint32_t itemsize, const Numbers& sizes, const Numbers& offsets,
                   const Numbers& shape) {
  ASSERT_TRUE(lies_inside(sizes, offsets, shape));
  // No byte more than there are, so that a sanitizer finds what goes past them.
  std::vector<std::byte> block(product(sizes) * itemsize);
  for (size_t i = 0; i < block.size(); ++i) block[i] = static_cast<std::byte>(i * 7 + i / 251 + 1);
  std::vector<std::byte> found(product(shape) * itemsize, std::byte{0xAA}), wanted = found;
  place(block.data(), itemsize, sizes, offsets, shape, found.data());
  by_definition(block, itemsize, sizes, offsets, shape, wanted);
  EXPECT_TRUE(found == wanted);
}

}  // namespace

TEST(place_shapes) {
  for (const uint32_t itemsize : {1u, 2u, 4u, 8u, 16u}) {
    expect_places(itemsize, {}, {}, {});
    expect_places(itemsize, {5}, {0}, {5});
    expect_places(itemsize, {2}, {3}, {5});
    expect_places(itemsize, {3, 4}, {0, 0}, {3, 4});
    expect_places(itemsize, {2, 4}, {1, 0}, {3, 4});
    expect_places(itemsize, {3, 2}, {0, 2}, {3, 4});
    expect_places(itemsize, {1, 1}, {2, 3}, {3, 4});
    expect_places(itemsize, {2, 3, 4}, {1, 0, 0}, {4, 3, 4});
    expect_places(itemsize, {2, 2, 4}, {1, 1, 0}, {4, 3, 4});
    expect_places(itemsize, {2, 3, 1}, {0, 0, 3}, {4, 3, 4});
    expect_places(itemsize, {1, 1, 1, 1}, {0, 0, 0, 0}, {1, 1, 1, 1});
    expect_places(itemsize, {0, 4}, {3, 0}, {3, 4});
    expect_places(itemsize, {3, 0}, {0, 4}, {3, 4});
    expect_places(itemsize, {0}, {0}, {0});
  }
}

TEST(place_random_blocks) {
  std::mt19937 random(3);
  for (int round = 0; round < 500; ++round) {
    Numbers sizes, offsets, shape;
    for (size_t rank = random() % 6; rank > 0; --rank) {
      shape.push_back(1 + random() % 5);
      sizes.push_back(static_cast<int64_t>(random() % static_cast<uint32_t>(shape.back() + 1)));
      const auto room = static_cast<uint32_t>(shape.back() - sizes.back());
      offsets.push_back(static_cast<int64_t>(random() % (room + 1)));
    }
    expect_places(1u << (random() % 5), sizes, offsets, shape);
  }
}

TEST(place_blocks_outside) {
  const int64_t most = INT64_MAX;
  EXPECT_TRUE(lies_inside(Numbers{3, 4}, Numbers{0, 0}, Numbers{3, 4}));
  EXPECT_TRUE(lies_inside(Numbers{0}, Numbers{4}, Numbers{4}));
  EXPECT_FALSE(lies_inside(Numbers{0}, Numbers{5}, Numbers{4}));
  EXPECT_FALSE(lies_inside(Numbers{3}, Numbers{2}, Numbers{4}));
  EXPECT_FALSE(lies_inside(Numbers{-1}, Numbers{0}, Numbers{4}));
  EXPECT_FALSE(lies_inside(Numbers{1}, Numbers{-1}, Numbers{4}));
  EXPECT_FALSE(lies_inside(Numbers{most}, Numbers{most}, Numbers{4}));
  EXPECT_FALSE(lies_inside(Numbers{most}, Numbers{1}, Numbers{most}));
  EXPECT_FALSE(lies_inside(Numbers{1}, Numbers{0, 0}, Numbers{4, 4}));
  EXPECT_FALSE(lies_inside(Numbers{1, 1}, Numbers{0}, Numbers{4, 4}));
  EXPECT_FALSE(lies_inside(Numbers{1, 1}, Numbers{0, 0}, Numbers{4}));
}
