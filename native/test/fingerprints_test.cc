// Things that are different, told by their hashes.
#include "core/fingerprints.h"

#include <vector>

#include "check.h"

using namespace torchmap;

namespace {

bool differ(const std::vector<uint64_t>& hashes) {
  uint32_t next = 0;
  return Fingerprints().differ(static_cast<uint32_t>(hashes.size()), [&](uint32_t i) {
    EXPECT_EQ(i, next++);
    return hashes[i];
  });
}

}  // namespace

TEST(fingerprints_of_few) {
  EXPECT_TRUE(differ({}));
  EXPECT_TRUE(differ({0}));
  EXPECT_FALSE(differ({0, 0}));
  EXPECT_TRUE(differ({0, uint64_t{2} << 32}));
  EXPECT_FALSE(differ({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 2}));
}

TEST(fingerprints_of_many) {
  for (const uint32_t count : {7u, 8u, 9u, 15u, 16u, 17u, 1000u, 100'000u}) {
    std::vector<uint64_t> hashes;
    for (uint32_t i = 0; i < count; ++i) hashes.push_back(hash_mix(i, 0, 1));
    EXPECT_TRUE(differ(hashes));
    for (const uint32_t again : {0u, count / 2, count - 2}) {
      std::vector<uint64_t> twice = hashes;
      twice.back() = hashes[again];
      EXPECT_FALSE(differ(twice));
    }
  }
}

TEST(fingerprints_that_want_one_slot) {
  std::vector<uint64_t> hashes;
  for (uint64_t i = 0; i < 300; ++i) hashes.push_back((2 * i + 1) << 32 | 5);
  EXPECT_TRUE(differ(hashes));
  hashes.push_back(hashes[40]);
  EXPECT_FALSE(differ(hashes));
}
