// Tensor calls in one step: what is kept as its bytes must be what opcode by opcode makes of them.
// Inside a frame no call is taken in one step, which gives the other side of the comparison.
#include "core/pickle/tensor_call.h"

#include <random>

#include "check.h"
#include "core/checkpoint.h"
#include "pickle_bytes.h"

using namespace torchmap;
using namespace torchmap::check;
using namespace std::string_literals;

namespace {

std::string number(int64_t value) {
  if (value >= 0 && value < 256) return op(Opcode::kBININT1, le(static_cast<uint64_t>(value), 1));
  if (value >= 0 && value < 65536) return op(Opcode::kBININT2, le(static_cast<uint64_t>(value), 2));
  return op(Opcode::kBININT, le(static_cast<uint64_t>(value) & 0xFFFFFFFF, 4));
}
std::string short_put(uint32_t key) {
  return key < 256 ? op(Opcode::kBINPUT, le(key, 1)) : put(key);
}
std::string short_get(uint32_t key) {
  return key < 256 ? op(Opcode::kBINGET, le(key, 1)) : get(key);
}

// What CPython writes for one tensor after another: the memo's next number.
struct Writer {
  uint32_t next = 10;

  std::string put() { return short_put(next++); }

  std::string dims(const std::vector<int64_t>& values) {
    if (values.empty()) return ")";
    std::string out = values.size() > 3 ? "(" : "";
    for (const int64_t value : values) out += number(value);
    static constexpr Opcode kEnds[] = {Opcode::kTUPLE, Opcode::kTUPLE1, Opcode::kTUPLE2,
                                       Opcode::kTUPLE3};
    return out + op(values.size() > 3 ? Opcode::kTUPLE : kEnds[values.size()]) + put();
  }

  std::string call(std::string_view key, int64_t numel, int64_t offset,
                   const std::vector<int64_t>& sizes, const std::vector<int64_t>& strides,
                   bool grad, bool legacy) {
    // One number of the memo a statement: the order inside of one is not a given.
    std::string out = short_get(0) + "((" + short_get(1) + short_get(2) + text(key) + put();
    out += short_get(3) + number(numel) + (legacy ? "N" : "") + "t" + put();
    out += "Q" + number(offset);
    out += dims(sizes);
    out += dims(strides);
    out += boolean(grad) + short_get(4) + ")R" + put();
    out += "t" + put();
    return out += "R" + put();
  }
};

// The function, the word, the type, the location and the hooks, at 0 to 4 of the memo.
std::string prelude() {
  return global("torch._utils", "_rebuild_tensor_v2") + short_put(0) + "0" + text("storage") +
         short_put(1) + "0" + global("torch", "FloatStorage") + short_put(2) + "0" + text("cpu") +
         short_put(3) + "0" + global("collections", "OrderedDict") + short_put(4) + "0";
}

// So many bytes behind a call that it could be as long as any.
std::string padding() { return text(std::string(kLongestTensorCall, 'x')) + "0"; }

std::string unframed(const std::string& body) { return "\x80\x02" + body + "."; }
std::string framed(const std::string& body) {
  return "\x80\x04" + op(Opcode::kFRAME, le(body.size() + 1, 8)) + body + ".";
}

size_t kept(const Pool& pool) {
  size_t count = 0;
  for (NodeId id = 0; id < pool.nodes.size(); ++id) count += pool[id].tag == Tag::kTensorCall;
  return count;
}

// Reads `body` in both ways; how many calls were kept.
size_t compare(const std::string& body) {
  Reading one(unframed(body)), other(framed(body));
  const size_t count = kept(one.pool);
  EXPECT_EQ(kept(other.pool), 0);
  EXPECT_EQ(one.ok(), other.ok());
  if (!one.ok() || !other.ok()) return count;  // what is wrong can be the frame
  EXPECT_EQ(one.shown(), other.shown());
  EXPECT_EQ(one.decoded->consumed + 9, other.decoded->consumed);
  return count;
}

uint32_t below(std::mt19937& random, uint32_t limit) {
  return static_cast<uint32_t>(random() % limit);
}

std::vector<int64_t> random_dims(std::mt19937& random) {
  std::vector<int64_t> out(random() % 10);
  for (int64_t& value : out)
    value = random() % 8 == 0 ? static_cast<int32_t>(random()) : random() % 400;
  return out;
}

}  // namespace

TEST(tensor_call_is_kept_as_its_bytes) {
  Writer writer;
  std::string body = prelude() + "(" + writer.call("0", 6, 1, {2, 3}, {3, 1}, false, false);
  body += writer.call("1", 70000, 300, {}, {}, true, false);
  body += writer.call("x", 1, 0, {1, 1, 1, 1}, {1, 1, 1, 1}, false, true);
  body += "l" + padding();
  EXPECT_EQ(compare(body), 3);
  Reading reading(unframed(body));
  ASSERT_TRUE(reading.ok());
  const std::string expected =
      "[torch._utils._rebuild_tensor_v2(pid ('storage', torch.FloatStorage, '0', 'cpu', 6), 1, "
      "(2, 3), (3, 1), False, collections.OrderedDict())";
  EXPECT_EQ(reading.shown().substr(0, expected.size()), expected);
}

TEST(tensor_call_near_the_end_is_read_opcode_by_opcode) {
  Writer writer;
  EXPECT_EQ(compare(prelude() + writer.call("0", 6, 1, {2, 3}, {3, 1}, false, false)), 0);
}

TEST(tensor_call_gives_its_arguments_to_the_memo) {
  for (uint32_t inner = 0; inner < 7; ++inner) {
    Writer writer;
    const std::string call = writer.call("0", 6, 1, {2, 3}, {3, 1}, false, false);
    const std::string twice = short_get(10 + inner) + short_get(10 + inner);
    EXPECT_EQ(compare(prelude() + "(" + call + twice + padding() + "l"), 1 - (inner < 6));
  }
}

TEST(tensor_call_under_the_number_of_its_argument) {
  for (uint32_t inner = 0; inner < 7; ++inner) {
    Writer writer;
    std::string call = writer.call("0", 6, 1, {2, 3}, {3, 1}, false, false);
    call += short_put(10 + inner);
    std::string all;
    for (uint32_t key = 10; key < 17; ++key) all += short_get(key);
    EXPECT_EQ(compare(prelude() + "(" + call + all + padding() + "l"), 0);
  }
}

TEST(tensor_call_whose_arguments_were_overwritten) {
  Writer writer;
  const std::string call = writer.call("0", 6, 1, {2, 3}, {3, 1}, false, false);
  const std::string other = writer.call("1", 6, 0, {6}, {1}, false, false);
  for (uint32_t key = 10; key < 24; ++key) {
    // Something else, then the later call, and then all of the memo.
    std::string all;
    for (uint32_t any = 10; any < 24; ++any) all += short_get(any);
    const std::string change = text("new") + short_put(key);
    compare(prelude() + "(" + call + change + other + all + padding() + "l");
    compare(prelude() + "(" + call + other + short_put(key) + all + padding() + "l");
    compare(prelude() + "(" + call + other + short_get(key) + short_put(33 - key) + all +
            padding() + "l");
  }
}

TEST(tensor_call_with_state_and_items) {
  Writer writer;
  const std::string call = writer.call("0", 6, 1, {2, 3}, {3, 1}, false, false);
  const std::string state = op(Opcode::kEMPTY_DICT) + "b";
  EXPECT_EQ(compare(prelude() + call + state + padding()), 1);
  EXPECT_EQ(compare(prelude() + call +
                    "K\x01"
                    "a" +
                    padding()),
            1);
  EXPECT_EQ(compare(prelude() + call + "K\x01K\x02s" + padding()), 1);
  EXPECT_EQ(compare(prelude() + call + ")R" + padding()), 1);
}

TEST(tensor_call_random_and_damaged) {
  std::mt19937 random(20261122);
  size_t calls = 0;
  for (int round = 0; round < 2000; ++round) {
    Writer writer;
    writer.next = random() % 2 == 0 ? 10 : 200 + below(random, 100);
    const uint32_t first = writer.next;
    std::string body = prelude() + "(";
    const size_t begin = body.size();
    for (size_t i = 0; i < 1 + random() % 4; ++i) {
      auto sizes = random_dims(random), strides = random_dims(random);
      body += writer.call(std::to_string(random() % 200000), random() % 100000, random() % 3, sizes,
                          strides, random() % 2 == 0, random() % 2 == 0);
      if (random() % 3 == 0) body += short_get(first + below(random, writer.next - first));
      if (random() % 5 == 0) body += short_put(first + below(random, writer.next - first));
    }
    const size_t end = body.size();
    body += padding() + "l";
    calls += compare(body);
    for (int change = 0; change < 4; ++change) {
      std::string damaged = body;
      for (size_t i = 0; i <= random() % 3; ++i) {
        const size_t at = begin + random() % (end - begin);
        // Mostly another byte that stands in the pickle anyway.
        damaged[at] = random() % 3 == 0 ? static_cast<char>(random())
                                        : body[begin + random() % (end - begin)];
      }
      compare(damaged);
    }
  }
  EXPECT_TRUE(calls > 2000);
}
