// Texts get one number each, however many there are.
#include "core/scan/text_numbers.h"

#include "check.h"

using namespace torchmap;
using namespace torchmap::check;

TEST(text_numbers_count_from_zero) {
  TextNumbers numbers;
  EXPECT_EQ(numbers.texts().size(), 0);
  EXPECT_EQ(numbers.number_of("a"), 0);
  EXPECT_EQ(numbers.number_of(""), 1);
  EXPECT_EQ(numbers.number_of("b"), 2);
  EXPECT_EQ(numbers.number_of(""), 1);
  EXPECT_EQ(numbers.number_of("a"), 0);
  EXPECT_EQ(numbers.texts().size(), 3);
  EXPECT_EQ(numbers.texts().at(1), "");
  EXPECT_EQ(numbers.texts().at(2), "b");
}

TEST(text_numbers_of_more_than_the_table_begins_with) {
  TextNumbers numbers;
  constexpr uint32_t kCount = 5000;
  const auto text = [](uint32_t i) { return "name " + std::to_string(i); };
  for (uint32_t i = 0; i < kCount; ++i) EXPECT_EQ(numbers.number_of(text(i)), i);
  for (uint32_t i = kCount; i-- > 0;) EXPECT_EQ(numbers.number_of(text(i)), i);
  EXPECT_EQ(numbers.texts().size(), kCount);
  for (uint32_t i = 0; i < kCount; ++i) EXPECT_EQ(numbers.texts().at(i), text(i));
}
