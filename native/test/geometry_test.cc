// Sizes and strides, checked as torch checks them.
#include "core/torch/geometry.h"

#include <initializer_list>
#include <vector>

#include "check.h"

using namespace torchmap;
using namespace torchmap::check;

namespace {

using Numbers = std::vector<int64_t>;

// "numel 6, extent 6, contiguous" or the failure's sentence.
std::string of(int64_t offset, const Numbers& sizes, const Numbers& strides) {
  auto geometry = check_geometry(offset, sizes, strides);
  if (!geometry.ok()) {
    EXPECT_EQ(code_name(geometry.status().code()), "BAD_TENSOR");
    return geometry.status().failure().message;
  }
  return "numel " + std::to_string(geometry->numel) + ", extent " +
         std::to_string(geometry->extent) + (geometry->contiguous ? ", contiguous" : "");
}

constexpr int64_t kHuge = int64_t{1} << 62;
constexpr const char* kBeyond = "the sizes and strides reach beyond 2^63 elements";

}  // namespace

TEST(geometry_plain) {
  EXPECT_EQ(of(0, {2, 3}, {3, 1}), "numel 6, extent 6, contiguous");
  EXPECT_EQ(of(4, {2, 3}, {3, 1}), "numel 6, extent 10, contiguous");
  EXPECT_EQ(of(0, {2, 3}, {1, 2}), "numel 6, extent 6");
  EXPECT_EQ(of(0, {}, {}), "numel 1, extent 1, contiguous");
  EXPECT_EQ(of(7, {}, {}), "numel 1, extent 8, contiguous");
  EXPECT_EQ(of(0, {2, 2}, {10, 3}), "numel 4, extent 14");
}

TEST(geometry_sizes_of_one_have_any_stride) {
  EXPECT_EQ(of(0, {1, 3}, {99, 1}), "numel 3, extent 3, contiguous");
  EXPECT_EQ(of(0, {1}, {kHuge}), "numel 1, extent 1, contiguous");
}

TEST(geometry_expanded) {
  EXPECT_EQ(of(0, {int64_t{1} << 40}, {0}), "numel 1099511627776, extent 1");
  EXPECT_EQ(of(5, {3, 2}, {0, 1}), "numel 6, extent 7");
}

TEST(geometry_empty_accepts_anything) {
  EXPECT_EQ(of(0, {0}, {1}), "numel 0, extent 0, contiguous");
  EXPECT_EQ(of(INT64_MAX, {0, kHuge}, {kHuge, kHuge}), "numel 0, extent 0, contiguous");
  EXPECT_EQ(of(INT64_MAX, {kHuge, kHuge, 0}, {INT64_MAX, 0, 1}), "numel 0, extent 0, contiguous");
}

TEST(geometry_negative) {
  EXPECT_EQ(of(-1, {1}, {1}), "storage offset -1 is negative");
  EXPECT_EQ(of(0, {2, -1}, {1, 1}), "dimension 1 has negative size -1");
  EXPECT_EQ(of(0, {2}, {-1}), "dimension 0 has negative stride -1");
  EXPECT_EQ(of(0, {0, INT64_MIN}, {1, 1}), "dimension 1 has negative size -9223372036854775808");
  EXPECT_EQ(of(INT64_MIN, {0}, {1}), "storage offset -9223372036854775808 is negative");
}

TEST(geometry_different_counts) {
  EXPECT_EQ(of(0, {2}, {}), "the shape has 1 dimensions but there are 0 strides");
  EXPECT_EQ(of(0, {}, {1, 1}), "the shape has 0 dimensions but there are 2 strides");
}

TEST(geometry_overflow) {
  const int64_t half = int64_t{1} << 32;
  EXPECT_EQ(of(0, {half, half}, {half, 1}), kBeyond);  // the product wraps to 0
  EXPECT_EQ(of(0, {half, half}, {0, 0}), kBeyond);
  EXPECT_EQ(of(0, {half, half / 2}, {0, 0}), kBeyond);
  EXPECT_EQ(of(0, {3}, {kHuge}), kBeyond);
  EXPECT_EQ(of(0, {5}, {kHuge}), kBeyond);  // 4 * 2^62 wraps to 0
  EXPECT_EQ(of(INT64_MAX, {1}, {1}), kBeyond);
  EXPECT_EQ(of(INT64_MAX - 1, {2}, {1}), kBeyond);
  EXPECT_EQ(of(INT64_MAX - 1, {}, {}), "numel 1, extent 9223372036854775807, contiguous");
  EXPECT_EQ(of(kHuge, {2}, {kHuge}), kBeyond);
  EXPECT_EQ(of(0, {INT64_MAX, INT64_MAX}, {INT64_MAX, INT64_MAX}), kBeyond);
}

TEST(geometry_thousand_dimensions) {
  const Numbers ones(1000, 1);
  EXPECT_EQ(of(0, ones, ones), "numel 1, extent 1, contiguous");
  EXPECT_EQ(of(0, Numbers(1000, 2), ones), kBeyond);
}

TEST(strides_row_major) {
  const auto of_sizes = [](const Numbers& sizes) {
    Numbers strides(sizes.size());
    contiguous_strides(sizes, strides);
    return strides;
  };
  EXPECT_TRUE(of_sizes({2, 3, 4}) == Numbers({12, 4, 1}));
  EXPECT_TRUE(of_sizes({}) == Numbers({}));
  EXPECT_TRUE(of_sizes({2, 0, 4}) == Numbers({4, 4, 1}));
  const Numbers wide = of_sizes({kHuge, kHuge, kHuge});
  EXPECT_TRUE(wide == Numbers({INT64_MAX, kHuge, 1}));
}
