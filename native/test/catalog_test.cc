// The tables of a checkpoint: where sizes and strides stand.
#include "core/torch/catalog.h"

#include <array>
#include <vector>

#include "check.h"

using namespace torchmap;
using namespace torchmap::check;

// Found by checkpoint_fuzz with Clang: a scalar beside another one, before there are any numbers.
TEST(catalog_scalars_alone) {
  Catalog catalog;
  EXPECT_EQ(catalog.add_dims({}, {}), 0);
  EXPECT_EQ(catalog.add_dims({}, {}), 0);
  EXPECT_EQ(catalog.dims.size(), 0);
}

TEST(catalog_equal_dims_share_a_place) {
  Catalog catalog;
  const std::array<int64_t, 2> sizes{2, 3}, rows{3, 1}, columns{1, 2};
  const uint32_t place = catalog.add_dims(sizes, rows);
  EXPECT_EQ(catalog.add_dims({}, {}), 4);
  EXPECT_EQ(catalog.add_dims(sizes, rows), place);
  EXPECT_TRUE(catalog.add_dims(sizes, columns) != place);
  const std::vector<int64_t> all(catalog.dims.data(), catalog.dims.data() + catalog.dims.size());
  EXPECT_TRUE(all == (std::vector<int64_t>{2, 3, 3, 1, 2, 3, 1, 2}));
}
