// The memo: keys are any numbers, and memory follows how many there are.
#include "core/pickle/memo.h"

#include "check.h"
#include "pickle_bytes.h"

using namespace torchmap;
using namespace torchmap::check;
using namespace std::string_literals;

TEST(memo_get_what_was_put) {
  Memo memo;
  EXPECT_EQ(memo.size(), 0);
  EXPECT_EQ(memo.get(0), Memo::kMissing);
  for (const uint64_t key : {uint64_t{0}, uint64_t{5}, uint64_t{1} << 32, UINT64_MAX}) {
    EXPECT_EQ(memo.get(key), Memo::kMissing);
    memo.put(key, static_cast<NodeId>(key % 1000));
    EXPECT_EQ(memo.get(key), key % 1000);
  }
  EXPECT_EQ(memo.size(), 4);
}

TEST(memo_overwrites) {
  Memo memo;
  for (const uint64_t key : {uint64_t{3}, uint64_t{1} << 40}) {
    memo.put(key, 1);
    memo.put(key, 2);
    EXPECT_EQ(memo.get(key), 2);
  }
  EXPECT_EQ(memo.size(), 2);
}

TEST(memo_keys_that_become_dense) {
  // Far apart first, then everything between them.
  Memo memo;
  for (uint64_t key = 100'000; key < 200'000; key += 1000) memo.put(key, 1);
  for (uint64_t key = 0; key < 300'000; ++key) {
    if (memo.get(key) == Memo::kMissing) memo.put(key, 2);
  }
  EXPECT_EQ(memo.size(), 300'000);
  for (uint64_t key = 0; key < 300'000; ++key)
    ASSERT_EQ(memo.get(key), key >= 100'000 && key < 200'000 && key % 1000 == 0 ? 1 : 2);
  memo.put(150'000, 3);
  EXPECT_EQ(memo.get(150'000), 3);
  EXPECT_EQ(memo.size(), 300'000);
}

TEST(memo_backwards) {
  Memo memo;
  for (uint64_t key = 200'000; key-- > 0;) memo.put(key, static_cast<NodeId>(key));
  for (uint64_t key = 0; key < 200'000; ++key) ASSERT_EQ(memo.get(key), key);
  EXPECT_EQ(memo.size(), 200'000);
}

TEST(memo_of_an_adversary) {
  // Keys that are dense in turn with keys that are not: neither kind may be moved again and again.
  Memo memo;
  constexpr uint64_t kCount = 1'000'000;
  for (uint64_t i = 0; i < kCount; ++i) {
    memo.put(i, 1);
    memo.put((uint64_t{1} << 32) + i * i, 2);
  }
  EXPECT_EQ(memo.size(), 2 * kCount);
  // At the border of what is dense.
  Memo border;
  for (uint64_t i = 0; i < kCount; ++i) border.put(i * 2 + 1025, 1);
  EXPECT_EQ(border.size(), kCount);
}

TEST(memo_huge_keys_in_a_pickle) {
  EXPECT_EQ(read("Nr\xFF\xFF\xFF\xFF"
                 "0j\xFF\xFF\xFF\xFF."),
            "None");
  EXPECT_EQ(read("K\1p18446744073709551615\n0g18446744073709551615\n."), "1");
  EXPECT_EQ(read("K\1p4294967296\n0g4294967296\n."), "1");
  for (const char* key : {"18446744073709551616", "999999999999999999999999999999", "-1", "", "x",
                          "1x", "0x1", "+1", "1.0"}) {
    EXPECT_EQ(read("Np"s + key + "\n."), "BAD_PICKLE");
    EXPECT_EQ(read("NNp0\ng"s + key + "\n."), "BAD_PICKLE");
  }
}

TEST(memo_missing_key) {
  for (const std::string& program :
       {"h\0."s, "h\xFF."s, "j\0\0\0\0."s, "j\xFF\xFF\xFF\xFF."s, "g0\n."s, "Nq\1h\2."s}) {
    Reading reading(program);
    ASSERT_FALSE(reading.ok());
    EXPECT_EQ(code_name(reading.failure().code), "BAD_PICKLE");
    EXPECT_TRUE(reading.failure().message.find("which is not set") != std::string::npos);
  }
}

TEST(memo_index_of_memoize_is_its_size) {
  EXPECT_EQ(read("K\1\x94K\2\x94"
                 "00h\0h\1\x86."s),
            "(1, 2)");
  // Keys put by hand count, wherever they are.
  EXPECT_EQ(read("K\1q\x09"
                 "0K\2\x94"
                 "0h\1."s),
            "2");
  EXPECT_EQ(read("K\1q\1"
                 "0K\2\x94"
                 "0h\1."s),
            "2");  // takes the place of another
  EXPECT_EQ(read("K\1q\5q\5"
                 "0K\2\x94"
                 "0h\1."s),
            "2");
}

TEST(memo_holds_the_value_not_its_place) {
  EXPECT_EQ(read("K\1q\0"
                 "0K\2h\0\x86."s),
            "(2, 1)");
  EXPECT_EQ(read("]q\0h\0K\1a\x86."s), "([1], [1])");
  EXPECT_EQ(read("K\1K\2"
                 "0q\0"
                 "0h\0."s),
            "1");
}
