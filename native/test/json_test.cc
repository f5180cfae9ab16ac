// JSON text as the formats need it.
#include "core/json.h"

#include "check.h"

using namespace torchmap;
using namespace torchmap::check;

namespace {

Result<Json> parse(std::string_view text) {
  return Json::parse(as_bytes(text), Code::kBadRecord, 100);
}

TEST(json_gives_numbers_as_they_are_written) {
  auto json = parse(R"({"a":1,"b":-2,"c":1.0,"d":9223372036854775808,"e":1e2})");
  EXPECT_TRUE(json.ok());
  const JsonValue root = json->root();
  EXPECT_EQ(root.get("a")->integer().value_or(0), 1);
  EXPECT_EQ(root.get("b")->integer().value_or(0), -2);
  EXPECT_TRUE(!root.get("c")->integer());
  EXPECT_TRUE(!root.get("d")->integer());
  EXPECT_TRUE(!root.get("e")->integer());
  EXPECT_EQ(root.get("e")->number().value_or(0), 100.0);
  EXPECT_TRUE(!root.get("f"));
}

TEST(json_gives_repeated_keys_each_time) {
  auto json = parse(R"({"a":"x","a":"y\u0000z"})");
  EXPECT_TRUE(json.ok());
  std::string all;
  EXPECT_TRUE(json->root()
                  .each_entry([&](std::string_view key, JsonValue value) -> Status {
                    all += std::string(key) + "=" + std::string(*value.text()) + ";";
                    return {};
                  })
                  .ok());
  EXPECT_EQ(all, std::string("a=x;a=y\0z;", 10));
}

TEST(json_names_the_place_of_what_is_malformed) {
  for (std::string_view text :
       {"", "{", "{\"a\":1,}", "[1] x", "{'a':1}", "[NaN]", "\"\xff\"", "// a\n1"}) {
    auto json = parse(text);
    EXPECT_TRUE(!json.ok());
    EXPECT_TRUE(json.status().code() == Code::kBadRecord);
    EXPECT_TRUE(json.status().failure().offset.value_or(0) >= 100);
  }
}

TEST(json_nests_without_recursion) {
  const size_t depth = 1000000;
  EXPECT_TRUE(parse(std::string(depth, '[') + std::string(depth, ']')).ok());
}

}  // namespace
