#include "checkpoint_opened.h"
#include "core/format/safetensors_reader.h"
#include "files.h"

using namespace torchmap;
using check::OpenedCheckpoint;

namespace {

std::string framed(std::string_view header, std::string_view data = {}) {
  std::string out;
  for (int i = 0; i < 8; ++i) out += static_cast<char>(uint64_t{header.size()} >> (8 * i));
  return out + std::string(header) + std::string(data);
}

std::string row(std::string_view dtype, std::string_view shape, uint64_t begin, uint64_t end) {
  return R"({"dtype":")" + std::string(dtype) + R"(","shape":[)" + std::string(shape) +
         R"(],"data_offsets":[)" + std::to_string(begin) + "," + std::to_string(end) + "]}";
}

// "name dtype(sizes), ..." or the code and the offset of the failure.
std::string outcome(std::string bytes, const OpenOptions& options = {}) {
  OpenedCheckpoint opened(std::move(bytes), options);
  if (!opened.ok()) {
    const Failure& failure = opened.failure();
    return std::string(code_name(failure.code)) + " at " +
           (failure.offset ? std::to_string(*failure.offset) : "?");
  }
  EXPECT_EQ(check::problem_of(*opened), "");
  std::string text = check::shown(opened->catalog(), opened->names());
  for (const Skipped& skipped : opened->skipped())
    text += "; " + skipped.name + " " + std::string(code_name(skipped.code));
  return text;
}

bool like(std::string_view bytes) { return starts_like_safetensors(as_bytes(bytes)); }

}  // namespace

TEST(safetensors_of_two_tensors) {
  const std::string header = R"({"__metadata__":{"a":"b"},"w":)" + row("F32", "2,1", 4, 12) +
                             R"(,"b":)" + row("U8", "4", 0, 4) + "}";
  OpenedCheckpoint opened(framed(header, "abcdefghijkl"));
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(format_name(opened->format()), "safetensors");
  EXPECT_EQ(check::shown(opened->catalog(), opened->names()), "b uint8(4), w float32(2, 1)");
  const Storage& storage = opened->catalog().storages[opened.tensor("w")->storage];
  EXPECT_TRUE(storage.place == StoragePlace::kFile);
  EXPECT_EQ(storage.offset, 8 + header.size() + 4);
  EXPECT_EQ(storage.bytes, 8);
  EXPECT_EQ(storage.key, "w");
  ASSERT_TRUE(opened->metadata().has_value());
  EXPECT_EQ(opened->metadata()->at(0), "a");
  EXPECT_EQ(opened->metadata()->at(1), "b");
  EXPECT_FALSE(opened->salvaged());
}

TEST(safetensors_failures_say_where) {
  // The name of the tensor, behind the length and the brace.
  EXPECT_EQ(outcome(framed("{\"a\":" + row("F33", "1", 0, 4) + "}", "abcd")),
            "UNSUPPORTED_DTYPE at 10");
  EXPECT_EQ(outcome(framed(R"({"a":{"dtype":"F32","dtype":"F32"}})")), "BAD_INDEX at 29");
  EXPECT_EQ(outcome(framed("{\"a\":1")), "BAD_INDEX at 14");
  // The place in the data.
  const std::string hole =
      "{\"a\":" + row("U8", "1", 0, 1) + ",\"b\":" + row("U8", "1", 2, 3) + "}";
  EXPECT_EQ(outcome(framed(hole, "abc")), "BAD_INDEX at " + std::to_string(8 + hole.size() + 1));
  EXPECT_EQ(outcome(framed("{}", "abc")), "BAD_INDEX at 10");
  EXPECT_EQ(outcome(framed("{ }").substr(0, 10)), "TRUNCATED at 8");
}

TEST(safetensors_salvaged) {
  const std::string header =
      "{\"a\":" + row("U8", "2", 0, 2) + ",\"b\":" + row("U8", "2", 2, 4) + "}";
  const std::string whole = framed(header, "abcd");
  OpenOptions salvage;
  salvage.salvage = true;
  EXPECT_EQ(outcome(whole, salvage), "a uint8(2), b uint8(2)");
  for (size_t cut = 0; cut <= 4; ++cut) {
    const std::string part = whole.substr(0, whole.size() - cut);
    EXPECT_EQ(outcome(part, salvage), cut == 0   ? "a uint8(2), b uint8(2)"
                                      : cut <= 2 ? "a uint8(2); b TRUNCATED"
                                                 : "; a TRUNCATED; b TRUNCATED");
    if (cut > 0) EXPECT_EQ(outcome(part), "TRUNCATED at " + std::to_string(part.size()));
  }
  // Only missing bytes are put up with.
  EXPECT_EQ(outcome(whole + "e", salvage), "BAD_INDEX at " + std::to_string(whole.size()));
  EXPECT_EQ(outcome(whole.substr(0, 40), salvage), "TRUNCATED at 8");
}

TEST(safetensors_names_given_twice) {
  // Of many spellings of one name the last counts; among many others.
  std::string header = "{";
  for (int i = 0; i < 1000; ++i)
    header += "\"n" + std::to_string(i % 7) + "\":" + row("U8", "0", 9, 9) + ",";
  for (int i = 0; i < 7; ++i)
    header += (i > 0 ? ",\"n" : "\"\\u006e") + std::to_string(i) +
              "\":" + row("U8", "1", static_cast<uint64_t>(6 - i), static_cast<uint64_t>(7 - i));
  EXPECT_EQ(outcome(framed(header + "}", "abcdefg")),
            "n6 uint8(1), n5 uint8(1), n4 uint8(1), n3 uint8(1), n2 uint8(1), n1 uint8(1), n0 "
            "uint8(1)");
}

TEST(safetensors_what_it_starts_like) {
  EXPECT_TRUE(like(framed("{}")));
  EXPECT_TRUE(like(framed(" \n{}")));
  EXPECT_TRUE(like(framed("    ")));
  EXPECT_TRUE(like("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF{\"a"));
  EXPECT_FALSE(like("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF a"));
  EXPECT_FALSE(like(framed("")));
  EXPECT_FALSE(like(framed("[]")));
  EXPECT_FALSE(like(std::string("PK\3\4\0\0\10\10\0\0\0\0", 12)));
  EXPECT_FALSE(like("\x80\2\x8A\x0Al\xFC\x9C\x46\xF9{"));
  EXPECT_FALSE(like("{\"weight_map\": {\"a\": 1}}"));
}

TEST(safetensors_of_a_file_that_is_read) {
  const check::TemporaryFile file(framed("{\"a\":" + row("I16", "2", 0, 4) + "}", "abcd"));
  for (const bool map : {true, false}) {
    auto source = open_file(file.path(), {map});
    ASSERT_TRUE(source.ok());
    auto opened = Checkpoint::open(*source, {});
    ASSERT_TRUE(opened.ok());
    EXPECT_EQ(check::shown((*opened)->catalog(), (*opened)->names()), "a int16(2)");
  }
}

TEST(safetensors_limits_and_cancelling) {
  const std::string two =
      framed("{\"a\":" + row("U8", "0", 0, 0) + ",\"b\":" + row("U8", "0", 0, 0) + "}");
  OpenOptions options;
  options.limits.nodes = 3;
  EXPECT_EQ(outcome(two, options), "LIMIT_NODES at ?");
  options.limits.nodes = 4;
  EXPECT_EQ(outcome(two, options), "a uint8(0), b uint8(0)");
}
