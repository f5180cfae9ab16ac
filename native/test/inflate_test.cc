// Streams that zlib has deflated, and what is none.
#include "core/archive/inflate.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "packed_bytes.h"

using namespace torchmap;
using namespace torchmap::check;

namespace {

// All of it, as far as `room` goes; "BAD_RECORD" and the like where it is none.
std::string inflated(std::string_view deflated, size_t room = 5000) {
  // Exactly as long as it is, so that the sanitizers see what is read beyond.
  const std::vector<std::byte> stream(as_bytes(deflated).begin(), as_bytes(deflated).end());
  std::vector<std::byte> target(room);
  auto done = inflate(stream, target);
  if (!done.ok()) return std::string(code_name(done.status().code()));
  EXPECT_EQ(done->ended || done->bytes == room, true);
  return std::string(as_text(target).substr(0, done->bytes));
}

struct Sample {
  std::string deflated, text;
};

// Of each type of block one.
std::vector<Sample> samples() {
  return {
      {unhex("010500faff68656c6c6f"), "hello"},
      {unhex("cb48cdc9c957c8409000"), "hello hello hello"},
      {unhex("ed52db0dc340089b15c3148cde286d6dc3a91bf4a7454ac2816d1e97a800aeb822b23323a2a3f4a20148"
             "805ff939199e1965a81ae87628f351025522eb25e6d58744014944466334856356a55c87a00706ab5799"
             "8a1680a124b2aaad3f02a311ab770c5dc53869a8cd4b81bd5ea41ca62d8f2bc76016213badad4a89856b"
             "c401fa5ced16efa19cc48ed53afaa3aabd021f94a85b9aab0b8f8ba38c49961bcf2566ad3af1ec9323fa"
             "4ee26e79eaa4d343cc2ab8d672f9747fbe28ac4f3365345ddb957dbf0ae76e09be66ae5f23cc22cbedb5"
             "153d8b9e674cefdb74c56b3ad21a87f185ffaafff673f606"),
       letters()},
      // A stored block of no bytes, then the second one.
      {unhex("000000ffffcb48cdc9c957c8409000"), "hello hello hello"},
      {unhex("0300"), ""},
  };
}

// Gives a stream in parts of so many bytes, and keeps what it becomes up to `most` bytes.
class Parts final : public InflateStream {
 public:
  Parts(std::string_view deflated, size_t part, size_t most = SIZE_MAX)
      : left_(deflated), part_(part), most_(most) {}

  Result<size_t> read(std::span<std::byte> target) override {
    if (part_ == 0) return Status(Code::kIo, "nothing can be read");
    const size_t taken = std::min({target.size(), left_.size(), part_});
    if (taken > 0) std::memcpy(target.data(), left_.data(), taken);
    left_.remove_prefix(taken);
    return taken;
  }
  Result<bool> take(ByteSpan inflated) override {
    text += as_text(inflated);
    return text.size() <= most_;
  }

  std::string text;

 private:
  std::string_view left_;
  size_t part_, most_;
};

std::string inflated_in_parts(std::string_view deflated, size_t part) {
  Parts parts(deflated, part);
  auto done = inflate(parts);
  if (!done.ok()) return std::string(code_name(done.status().code()));
  EXPECT_TRUE(done->ended && done->bytes == parts.text.size());
  return parts.text;
}

// Stored blocks of all lengths up to `count`, then one of the others behind them.
Sample long_sample(size_t count, const Sample& last) {
  Sample made;
  for (size_t length = 0; length < count; ++length) {
    std::string text(length, '\0');
    for (size_t i = 0; i < length; ++i) text[i] = static_cast<char>(i * length);
    const auto low = static_cast<char>(length & 255), high = static_cast<char>(length >> 8);
    made.deflated +=
        std::string{'\0', low, high, static_cast<char>(~low), static_cast<char>(~high)} + text;
    made.text += text;
  }
  made.deflated += last.deflated;
  made.text += last.text;
  return made;
}

}  // namespace

TEST(inflates_every_type_of_block) {
  for (const auto& [deflated, text] : samples()) {
    EXPECT_EQ(inflated(deflated), text);
    EXPECT_EQ(inflated(deflated, text.size()), text);
    // What stands behind the stream is somebody else's.
    EXPECT_EQ(inflated(deflated + "behind it"), text);
  }
}

TEST(inflates_as_much_as_there_is_room_for) {
  for (const auto& [deflated, text] : samples()) {
    for (size_t room = 0; room < text.size(); ++room)
      EXPECT_EQ(inflated(deflated, room), text.substr(0, room));
  }
}

TEST(refuses_streams_that_end_early) {
  for (const auto& [deflated, text] : samples()) {
    for (size_t length = 0; length < deflated.size(); ++length)
      EXPECT_EQ(inflated(deflated.substr(0, length)), "BAD_RECORD");
  }
}

TEST(refuses_what_is_no_stream) {
  for (const std::string_view digits : {
           "07",                            // a block of type 3
           "010500fbff68656c6c6f",          // two lengths
           "4b044200",                      // fixed: 'a', then three bytes from two before
           "ed1f00000000000000000000",      // 288 literals
           "05c0810000000000000000000000",  // no code of code lengths
           "ffffffffffffffffffffffffffff",
       }) {
    EXPECT_EQ(inflated(unhex(digits)), "BAD_RECORD");
  }
}

TEST(survives_every_flipped_bit) {
  size_t refused = 0;
  for (const auto& [deflated, text] : samples()) {
    for (size_t bit = 0; bit < deflated.size() * 8; ++bit) {
      std::string damaged = deflated;
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
      refused += inflated(damaged) == "BAD_RECORD" ? 1 : 0;
    }
  }
  EXPECT_GT(refused, size_t{200});
}

TEST(inflates_streams_in_parts) {
  for (const Sample& sample : samples()) {
    for (const size_t part : {1u, 2u, 3u, 5u, 7u, 8u, 9u, 64u, 1000000u}) {
      EXPECT_EQ(inflated_in_parts(sample.deflated, part), sample.text);
      EXPECT_EQ(inflated_in_parts(sample.deflated + "behind it", part), sample.text);
    }
    for (size_t length = 0; length < sample.deflated.size(); ++length)
      EXPECT_EQ(inflated_in_parts(sample.deflated.substr(0, length), 3), "BAD_RECORD");
  }
}

// Longer than what is given away at a time, and what distances lead back to.
TEST(inflates_long_streams_in_parts) {
  for (const Sample& last : samples()) {
    const Sample sample = long_sample(800, last);
    EXPECT_TRUE(sample.text.size() > 300000);
    for (const size_t part : {1000u, 65536u, 1000000u})
      EXPECT_TRUE(inflated_in_parts(sample.deflated, part) == sample.text);
  }
}

TEST(inflates_streams_as_far_as_is_wanted) {
  const Sample sample = long_sample(800, samples()[0]);
  Parts parts(sample.deflated, 1000, 1000);
  auto done = inflate(parts);
  ASSERT_TRUE(done.ok());
  EXPECT_FALSE(done->ended);
  EXPECT_TRUE(parts.text.size() > 1000 && sample.text.starts_with(parts.text));
  EXPECT_TRUE(parts.text.size() < sample.text.size());
  EXPECT_EQ(done->bytes, parts.text.size());
}

TEST(says_how_many_bytes_a_stream_had) {
  for (const auto& [deflated, text] : samples()) {
    const std::string longer = deflated + "behind it and more";
    std::vector<std::byte> target(text.size() + 1);
    auto whole = inflate(as_bytes(longer), target);
    ASSERT_TRUE(whole.ok() && whole->ended);
    EXPECT_EQ(whole->used, deflated.size());
    for (const size_t part : {1u, 3u, 8u, 1000u}) {
      Parts parts(longer, part);
      auto done = inflate(parts);
      ASSERT_TRUE(done.ok());
      EXPECT_EQ(done->used, deflated.size());
    }
  }
}

TEST(gives_what_comes_before_a_break) {
  const Sample sample = samples()[2];
  Parts parts(std::string_view(sample.deflated).substr(0, sample.deflated.size() - 20), 7);
  EXPECT_FALSE(inflate(parts).ok());
  EXPECT_TRUE(parts.text.size() > 100 && sample.text.starts_with(parts.text));
}

TEST(inflates_no_stream_that_cannot_be_read) {
  Parts parts("x", 0);
  auto done = inflate(parts);
  ASSERT_FALSE(done.ok());
  EXPECT_TRUE(done.status().code() == Code::kIo);
}
