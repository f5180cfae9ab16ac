// What a pickle may cost: limits, cancelling, and pickles that ask for much in few bytes.
#include <pthread.h>

#include "check.h"
#include "core/pickle/decoder.h"
#include "pickle_bytes.h"

using namespace torchmap;
using namespace torchmap::check;
using namespace std::string_literals;

namespace {

// Runs `body` on a thread with little stack, where recursion over the input would not survive.
void run_on_small_stack(void (*body)()) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 256 << 10);
  pthread_t thread;
  const auto start = [](void* what) -> void* {
    reinterpret_cast<void (*)()>(what)();
    return nullptr;
  };
  const int error = pthread_create(&thread, &attributes, start, reinterpret_cast<void*>(body));
  pthread_attr_destroy(&attributes);
  ASSERT_EQ(error, 0);
  pthread_join(thread, nullptr);
}

DecodeOptions with_limit(uint64_t Limits::*limit, uint64_t value) {
  DecodeOptions options;
  options.limits.*limit = value;
  return options;
}

constexpr size_t kDeep = 200'000;

}  // namespace

TEST(limit_of_opcodes) {
  const std::string many = repeat("N0", 20'000) + "N.";
  Reading reading(many, with_limit(&Limits::opcodes, 10'000));
  ASSERT_FALSE(reading.ok());
  EXPECT_EQ(code_name(reading.failure().code), "LIMIT_OPCODES");
  EXPECT_EQ(reading.failure().subject, "opcodes");
  EXPECT_EQ(reading.failure().limit, 10'000);
  EXPECT_GT(reading.failure().actual, 10'000);
  EXPECT_EQ(read(many, with_limit(&Limits::opcodes, 50'000)), "None");
  EXPECT_EQ(read(many, with_limit(&Limits::opcodes, UINT64_MAX)), "None");
}

TEST(limit_of_nodes) {
  const std::string many = repeat("]", 100'000) + ".";
  Reading reading(many, with_limit(&Limits::nodes, 50'000));
  ASSERT_FALSE(reading.ok());
  EXPECT_EQ(code_name(reading.failure().code), "LIMIT_NODES");
  EXPECT_EQ(reading.failure().subject, "nodes");
  EXPECT_EQ(read(many, with_limit(&Limits::nodes, 200'000)), "[]");
  // What is in every pool takes no node.
  EXPECT_EQ(read(repeat("NK\1)\x88\x89", 100'000) + ".", with_limit(&Limits::nodes, 10'000)),
            "False");
}

TEST(limit_of_memo) {
  std::string many;
  for (uint32_t key = 0; key < 20'000; ++key) many += "N" + put(key * 1000);
  Reading reading(many + ".", with_limit(&Limits::memo, 10'000));
  ASSERT_FALSE(reading.ok());
  EXPECT_EQ(code_name(reading.failure().code), "LIMIT_MEMO");
  EXPECT_EQ(reading.failure().subject, "memo");
  EXPECT_EQ(read(many + ".", with_limit(&Limits::memo, 20'000)), "None");
}

TEST(limit_of_strings) {
  const DecodeOptions options = with_limit(&Limits::string, 5);
  EXPECT_EQ(read(text("12345") + ".", options), "'12345'");
  for (const std::string& program : {text("123456"), "V123456\n"s, "S'123456'\n"s,
                                     "U\6"
                                     "123456"s,
                                     "\x8C\6"
                                     "123456"s}) {
    Reading reading(program + ".", options);
    ASSERT_FALSE(reading.ok());
    EXPECT_EQ(code_name(reading.failure().code), "LIMIT_STRING");
    EXPECT_EQ(reading.failure().limit, 5);
    EXPECT_EQ(reading.failure().actual, 6);
  }
  EXPECT_EQ(read(bytes("123456") + ".", options), "b'123456'");
}

TEST(cancelled) {
  std::atomic<bool> cancelled = true;
  DecodeOptions options;
  options.cancelled = &cancelled;
  EXPECT_EQ(read("N.", options), "ABORT_ERR");
  EXPECT_EQ(read(repeat("N0", 100'000) + "N.", options), "ABORT_ERR");
  cancelled = false;
  EXPECT_EQ(read("N.", options), "None");
}

TEST(resource_ten_million_references) {
  // As many as a vocabulary of millions has; none makes a node.
  constexpr size_t kCount = 10'000'000;
  Reading reading("](X" + le(3, 4) + "abcq\0"s + repeat("h\0"s, kCount) + "e.");
  ASSERT_TRUE(reading.ok());
  EXPECT_EQ(reading.root().a, kCount + 1);
  EXPECT_LT(reading.pool.nodes.size(), 300);
  EXPECT_LT(reading.pool.words.size(), kCount + 10);
}

TEST(resource_ten_million_values) {
  constexpr size_t kCount = 10'000'000;
  Reading reading(repeat("N", kCount) + ".");
  ASSERT_TRUE(reading.ok());
  EXPECT_LT(reading.pool.nodes.size(), 300);
}

// Each level refers ten times to the one below: 10^40 paths in a few hundred bytes.
TEST(resource_billion_laughs) {
  const std::string ten = "h\0h\0h\0h\0h\0h\0h\0h\0h\0h\0"s;
  for (const auto& [first, level] :
       {std::pair("]q\0"s, "](" + ten + "eq\0"s), std::pair(")q\0"s, "(" + ten + "tq\0"s),
        std::pair("cm\nx\n)Rq\0"s, "cm\nx\n(" + ten + "tRq\0"s),
        std::pair("}q\0"s, "}(" + repeat("Nh\0"s, 10) + "uq\0"s)}) {
    Reading reading(first + repeat(level, 40) + ".");
    ASSERT_TRUE(reading.ok());
    EXPECT_LT(reading.pool.nodes.size(), 600);
    EXPECT_LT(reading.pool.words.size(), 2000);
  }
  // The same by DUP.
  EXPECT_TRUE(Reading("N" + repeat("2\x86", 1000) + ".").ok());
}

TEST(resource_deep_nesting) {
  run_on_small_stack([] {
    for (const char* level : {"]", "(", "\x85"}) {
      const std::string opening = level == "\x85"s ? "N" : "";
      const std::string closing = level == "("s ? repeat("t", kDeep) : "";
      EXPECT_TRUE(Reading(opening + repeat(level, kDeep) + closing + ".").ok());
    }
    EXPECT_EQ(read("]" + repeat("](2", kDeep) + "."), "BAD_PICKLE");
    EXPECT_TRUE(Reading(repeat("]", kDeep) + repeat("a", kDeep - 1) + ".").ok());
    EXPECT_TRUE(Reading(repeat("}N", kDeep) + "N" + repeat("s", kDeep) + ".").ok());
    EXPECT_TRUE(Reading("cm\nx\n" + repeat(")R", kDeep) + ".").ok());
    EXPECT_TRUE(Reading(repeat("cm\nx\n", kDeep) + ")" + repeat("\x81", kDeep) + ".").ok());
  });
}

TEST(resource_mark_flood) {
  EXPECT_EQ(read(repeat("(", 1'000'000) + "N."), "None");
  EXPECT_EQ(read(repeat("(", 1'000'000) + repeat("1", 999'999) + "t."), "()");
  EXPECT_EQ(read(repeat("(", 1'000'000) + "."), "BAD_PICKLE");
}

TEST(resource_containers_of_themselves) {
  EXPECT_TRUE(Reading("]q\0h\0a."s).ok());
  EXPECT_TRUE(Reading("}q\0Nh\0s."s).ok());
  EXPECT_TRUE(Reading("]q\0h\0\x85"
                      "a."s)
                  .ok());
  EXPECT_TRUE(Reading("cm\nx\n)Rq\0h\0b."s).ok());
  EXPECT_TRUE(Reading("cm\nx\nq\0h\0b."s).ok());
}

TEST(resource_a_million_items_one_by_one) {
  constexpr size_t kCount = 1'000'000;
  Reading dict("}" + repeat("K\1K\2s", kCount) + ".");
  ASSERT_TRUE(dict.ok());
  EXPECT_EQ(dict.root().a, 2 * kCount);
  EXPECT_LT(dict.pool.words.size(), 2 * kCount + 10);
  // Two lists in turn, so that no batch can grow where it is.
  Reading lists("]q\0]q\1"s + repeat("h\0Na0h\1Na0"s, kCount) + "\x86.");
  ASSERT_TRUE(lists.ok());
  EXPECT_LT(lists.pool.words.size(), 6 * kCount + 20);
}
