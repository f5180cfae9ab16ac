// The tape: every kind of value, shared and cyclic ones, and that it is well formed.
#include "core/torch/tape.h"

#include "check.h"
#include "checkpoint_opened.h"

using namespace torchmap;
using namespace torchmap::check;
using namespace std::string_literals;

namespace {

// Prints a tape as Python would print the value: the other half of what lib/tape.ts does.
class Printed {
 public:
  explicit Printed(const Tape& tape) : tape_(tape) {
    size_t at = 0;
    while (at < tape.words.size()) {
      starts_.push_back(at);
      at += length(at);
    }
    value(tape.root, 0);
  }
  std::string text;

 private:
  uint32_t word(size_t at) const { return tape_.words.at(at); }
  size_t length(size_t at) const {
    switch (word(at)) {
      case 0:
      case 1:
      case 2:
        return 1;
      case 3:
      case 7:
      case 11:
        return 3;
      case 8:
      case 9:
        return 2 + size_t{word(at + 1)};
      case 10:
        return 2 + size_t{2} * word(at + 1);
      case 12: {
        size_t end = at + 4;
        end += 1 + size_t{word(end)};
        end += 1 + size_t{word(end)};
        end += 1 + size_t{2} * word(end);
        return end + 1 - at;
      }
      case 15:
        return 8 + size_t{2} * word(at + 3);
      default:
        return 2;
    }
  }
  std::string string(uint32_t index) const {
    const uint32_t begin = index == 0 ? 0 : tape_.text_ends.at(index - 1);
    std::string out;
    for (char16_t unit : tape_.text.substr(begin, tape_.text_ends.at(index) - begin)) {
      if (unit < 0x80) {
        out += static_cast<char>(unit);
      } else {
        out += "\\" + std::to_string(unit);
      }
    }
    return out;
  }
  std::string real(uint32_t index) const { return show(tape_.reals.at(index)); }
  std::string bytes(size_t at) const { return tape_.bytes.substr(word(at), word(at + 1)); }
  void values(const char* open, size_t at, uint32_t count, const char* close, int depth,
              bool pairs = false) {
    text += open;
    for (uint32_t i = 0; i < count; ++i) {
      if (i > 0) text += pairs && i % 2 != 0 ? ": " : ", ";
      value(word(at + i), depth + 1);
    }
    text += close;
  }

  void value(uint32_t number, int depth) {
    if (depth > 5) {
      text += "...";
      return;
    }
    const size_t at = starts_.at(number);
    switch (word(at)) {
      case 0:
        text += "None";
        return;
      case 1:
        text += "False";
        return;
      case 2:
        text += "True";
        return;
      case 3:
        text += std::to_string(static_cast<int64_t>(uint64_t{word(at + 2)} << 32 | word(at + 1)));
        return;
      case 4:
        text += "big " + string(word(at + 1));
        return;
      case 5:
        text += real(word(at + 1));
        return;
      case 6:
        text += "'" + string(word(at + 1)) + "'";
        return;
      case 7:
        text += "b'" + bytes(at + 1) + "'";
        return;
      case 8:
        return values("[", at + 2, word(at + 1), "]", depth);
      case 9:
        return values("set(", at + 2, word(at + 1), ")", depth);
      case 10:
        return values("{", at + 2, 2 * word(at + 1), "}", depth, true);
      case 11:
        text += string(word(at + 1)) + "." + string(word(at + 2));
        return;
      case 12:
        return object(at, depth);
      case 13:
        text += "tensor " + std::to_string(word(at + 1));
        return;
      case 14:
        text += real(word(at + 1)) + "+" + real(word(at + 1) + 1) + "j";
        return;
      case 15:
        return array(at, depth);
      default:
        text += "storage " + std::to_string(word(at + 1));
    }
  }
  void object(size_t at, int depth) {
    if (word(at + 1) == kNoIndex) {
      text += "pid";
    } else {
      value(word(at + 1), depth + 1);
    }
    text += " ";
    if (word(at + 2) != 0) value(word(at + 3), depth + 1);
    at += 4;
    if (word(at) > 0) values(" state[", at + 1, word(at), "]", depth);
    at += 1 + word(at);
    if (word(at) > 0) values(" items[", at + 1, word(at), "]", depth);
    at += 1 + word(at);
    if (word(at) > 0) values(" entries{", at + 1, 2 * word(at), "}", depth, true);
    at += 1 + 2 * word(at);
    if (word(at) == 0) return;
    text += " **";
    value(word(at) - 1, depth + 1);
  }
  void array(size_t at, int depth) {
    const uint32_t ndim = word(at + 3);
    text += "array " + string(word(at + 1)) + "(";
    for (uint32_t i = 0; i < ndim; ++i) text += std::to_string(word(at + 4 + 2 * i)) + ",";
    const size_t rest = at + 4 + 2 * ndim;
    text += word(rest) != 0 ? ") F" : ")";
    if (word(at + 2) != kNoIndex) text += " tensor " + std::to_string(word(at + 2));
    if (word(rest + 2) > 0) text += " b'" + bytes(rest + 1) + "'";
    if (word(rest + 3) == 0) return;
    text += " ";
    value(word(rest + 3) - 1, depth + 1);
  }

  const Tape& tape_;
  std::vector<size_t> starts_;
};

// What the tape of a checkpoint holds.
std::string taped(const std::string& value,
                  Result<Tape> (*make)(Interpreter&, NodeId) = make_tape) {
  OpenedCheckpoint checkpoint(archive_of(value));
  if (!checkpoint.ok()) {
    return std::string(code_name(checkpoint.failure().code)) + " " + checkpoint.failure().message;
  }
  auto tape = make(checkpoint->interpreter(), checkpoint->root());
  if (!tape.ok()) return std::string(code_name(tape.status().code()));
  const std::string problem = problem_of(*tape, checkpoint->catalog());
  return problem.empty() ? Printed(*tape).text : problem;
}

// numpy.dtype(code) with byte order and, for records, names and fields.
std::string numpy_dtype(std::string_view code, std::string_view order = "<",
                        const std::string& names = none(), const std::string& fields = none(),
                        int64_t itemsize = -1) {
  return build(call("numpy dtype", {text(code), boolean(false), boolean(true)}),
               tuple({integer(3), text(order), none(), names, fields, integer(itemsize),
                      integer(-1), integer(0)}));
}
std::string numpy_array(const std::string& dtype, const std::string& shape, const std::string& data,
                        bool fortran = false) {
  return build(call("numpy.core.multiarray _reconstruct",
                    {global("numpy", "ndarray"), integers({0}), bytes("b")}),
               tuple({integer(1), shape, dtype, boolean(fortran), data}));
}
std::string numpy_scalar(const std::string& dtype, const std::string& data) {
  return call("numpy.core.multiarray scalar", {dtype, data});
}

}  // namespace

TEST(tape_constants) {
  EXPECT_EQ(taped(none()), "None");
  EXPECT_EQ(taped(boolean(true)), "True");
  EXPECT_EQ(taped(boolean(false)), "False");
}

TEST(tape_numbers) {
  EXPECT_EQ(taped(integer(-5)), "-5");
  EXPECT_EQ(taped(integer(INT64_MIN)), "-9223372036854775808");
  EXPECT_EQ(taped("F0.5\n"), "0.5");
  EXPECT_EQ(taped("L123456789012345678901L\n"), "big 123456789012345678901");
  EXPECT_EQ(taped("\x8A\x09" + le(0, 8) + "\1"), "big 0x010000000000000000");
  EXPECT_EQ(taped("\x8A\x09" + le(0, 8) + "\xFF"), "big -0x010000000000000000");
  EXPECT_EQ(taped("\x8A\x09" + le(UINT64_MAX, 8) + "\xFF"), "big -0x000000000000000001");
  EXPECT_EQ(taped("\x8A\x09" + le(0, 8) + "\x80"), "big -0x800000000000000000");
  EXPECT_EQ(taped(call("builtins complex", {"F1.5\n", integer(-2)})), "1.5+-2j");
  EXPECT_EQ(taped(call("__builtin__ complex", {})), "0+0j");
}

TEST(tape_text) {
  EXPECT_EQ(taped(text("abc")), "'abc'");
  EXPECT_EQ(taped(text("")), "''");
  EXPECT_EQ(taped(text("\xF0\x9F\x98\x80")), "'\\55357\\56832'");
  EXPECT_EQ(taped(text("\xED\xA0\x80")), "'\\55296'");
  EXPECT_EQ(taped("U\3abc"), "'abc'");
  EXPECT_EQ(taped("U\2\xC3\xA9"), "'\\233'");  // of Python 2: UTF-8 where it is,
  EXPECT_EQ(taped("U\1\xE9"), "'\\233'");      // else Latin-1
}

TEST(tape_bytes) {
  EXPECT_EQ(taped(bytes("a\0b"s)), "b'a\0b'"s);
  EXPECT_EQ(taped("\x96" + le(1, 8) + "a"), "b'a'");
  EXPECT_EQ(taped(call("_codecs encode", {text("a\xC3\xA9"), text("latin1")})), "b'a\xE9'");
  EXPECT_EQ(taped(call("builtins bytes", {})), "b''");
  EXPECT_EQ(taped(call("__builtin__ bytearray", {bytes("ab")})), "b'ab'");
  EXPECT_EQ(taped(call("__builtin__ bytearray", {text("a\xC3\xA9"), text("latin-1")})), "b'a\xE9'");
  EXPECT_EQ(taped(list({bytes("ab"), bytes(""), bytes("c")})), "[b'ab', b'', b'c']");
  // What cannot be done stays as it was asked for.
  EXPECT_EQ(taped(call("_codecs encode", {text("\xE2\x82\xAC"), text("latin1")})),
            "_codecs.encode ['\\8364', 'latin1']");
  EXPECT_EQ(taped(call("_codecs encode", {text("a"), text("rot13")})),
            "_codecs.encode ['a', 'rot13']");
  EXPECT_EQ(taped(call("builtins bytes", {integer(5)})), "builtins.bytes [5]");
}

TEST(tape_containers) {
  EXPECT_EQ(taped(list({integer(1), none()})), "[1, None]");
  EXPECT_EQ(taped(tuple({integer(1), none()})), "[1, None]");
  EXPECT_EQ(taped(op(Opcode::kEMPTY_SET) + "(K\1\x90"), "set(1)");
  EXPECT_EQ(taped("(K\1\x91"), "set(1)");
  EXPECT_EQ(taped(dict({text("a"), integer(1), none(), list({})})), "{'a': 1, None: []}");
  EXPECT_EQ(taped(dict({tuple({integer(1)}), integer(1)})), "{[1]: 1}");
  EXPECT_EQ(taped(call("collections OrderedDict", {}) + text("a") + integer(1) + "s"), "{'a': 1}");
  EXPECT_EQ(taped(call("collections OrderedDict", {list({tuple({text("a"), integer(1)})})})),
            "{'a': 1}");
  EXPECT_EQ(taped(call("collections Counter", {dict({text("a"), integer(2)})})), "{'a': 2}");
  EXPECT_EQ(taped(call("collections defaultdict", {global("builtins", "list")}) + text("a") +
                  integer(1) + "s"),
            "{'a': 1}");
  EXPECT_EQ(taped(call("builtins set", {list({integer(1)})})), "set(1)");
  EXPECT_EQ(taped(call("builtins frozenset", {tuple({integer(1)})})), "set(1)");
  EXPECT_EQ(taped(call("builtins list", {}) + integer(1) + "a"), "[1]");
  EXPECT_EQ(taped(call("torch Size", {integers({2, 3})})), "[2, 3]");
}

TEST(tape_odd_arguments_of_containers) {
  for (const char* function : {"collections OrderedDict", "builtins set", "builtins list",
                               "collections defaultdict", "builtins dict", "torch Size"}) {
    for (const std::string& odd : {none(), integer(1), text("ab"), list({integer(1)}),
                                   list({list({integer(1)})}), small_tensor(), call("m x", {})}) {
      OpenedCheckpoint checkpoint(archive_of(call(function, {odd})));
      ASSERT_TRUE(checkpoint.ok());
      EXPECT_EQ(problem_of(*checkpoint), "");
    }
  }
}

TEST(tape_globals) {
  EXPECT_EQ(taped(global("m", "x")), "m.x");
  EXPECT_EQ(taped(global("__builtin__", "long")), "builtins.int");
  EXPECT_EQ(taped(global("torch", "float32")), "'float32'");
  EXPECT_EQ(taped(global("torch", "per_tensor_affine")), "'per_tensor_affine'");
  EXPECT_EQ(taped(global("torch", "uint3")), "'uint3'");
  EXPECT_EQ(taped("\x82\x05"), "copyreg.extension.5");
  EXPECT_EQ(taped(call("torch device", {text("cuda"), integer(1)})), "'cuda:1'");
  EXPECT_EQ(taped(call("torch device", {text("cpu")})), "'cpu'");
  EXPECT_EQ(taped(call("torch.serialization _get_layout", {text("torch.sparse_coo")})),
            "'sparse_coo'");
}

TEST(tape_objects) {
  EXPECT_EQ(taped(call("os system", {text("true")})), "os.system ['true']");
  EXPECT_EQ(taped(build(call("m x", {}), dict({text("a"), integer(1)}))), "m.x [] state[{'a': 1}]");
  EXPECT_EQ(taped(call("m x", {}) + integer(1) + "a" + text("k") + integer(2) + "s"),
            "m.x [] items[1] entries{'k': 2}");
  EXPECT_EQ(taped(global("m", "x") + ")" + dict({text("k"), integer(1)}) + "\x92"),
            "m.x [] **{'k': 1}");
  EXPECT_EQ(taped("(" + integer(1) + "im\nx\n"), "m.x [1]");
  EXPECT_EQ(taped("(" + global("m", "x") + integer(1) + "o"), "m.x [1]");
  EXPECT_EQ(taped(call_with("m x", ")") + ")R"), "m.x [] []");  // the result called
  EXPECT_EQ(taped("\x82\5)R"), "copyreg.extension.5 []");
  EXPECT_EQ(taped(call("copyreg _reconstructor",
                       {global("m", "x"), global("builtins", "object"), none()})),
            "m.x []");
  EXPECT_EQ(taped(call("copyreg __newobj__", {global("m", "x"), integer(1)})), "m.x [1]");
  EXPECT_EQ(taped(call("copyreg __newobj__", {global("builtins", "set"), list({integer(1)})})),
            "set(1)");
}

TEST(tape_foreign) {
  EXPECT_EQ(taped(small_tensor()), "tensor 0");
  EXPECT_EQ(taped(storage("0", 2)), "storage 0");
  EXPECT_EQ(taped(list({small_tensor() + put(0), get(0)})), "[tensor 0, tensor 0]");
}

TEST(tape_numpy_arrays) {
  EXPECT_EQ(taped(numpy_array(numpy_dtype("f4"), integers({2}), bytes("\0\0\0\0\0\0\0\0"s))),
            "array <f4(2,) tensor 0");
  EXPECT_EQ(taped(numpy_array(numpy_dtype("S3", "|"), integers({2}), bytes("abcdef"))),
            "array |S3(2,) b'abcdef'");
  EXPECT_EQ(taped(numpy_array(numpy_dtype("i2", ">"), integers({1, 2}), bytes("\0\1\0\2"s), true)),
            "array >i2(1,2,) F tensor 0");
  EXPECT_EQ(
      taped(numpy_array(numpy_dtype("O8", "|"), integers({2}), list({text("a"), integer(1)}))),
      "array |O(2,) ['a', 1]");
  EXPECT_EQ(
      taped(numpy_array(numpy_dtype("V3", "|", tuple({text("a"), text("b")}),
                                    dict({text("a"), tuple({numpy_dtype("i1", "|"), integer(0)}),
                                          text("b"), tuple({numpy_dtype("i2"), integer(1)})}),
                                    3),
                        integers({1}), bytes("abc"))),
      "array [('a', '|i1'), ('b', '<i2')](1,) b'abc'");
  EXPECT_EQ(taped(call("numpy.core.numeric _frombuffer",
                       {bytes("abcd"), numpy_dtype("u1", "|"), integers({2, 2}), text("F")})),
            "array |u1(2,2,) F tensor 0");
}

TEST(tape_numpy_scalars) {
  EXPECT_EQ(taped(numpy_scalar(numpy_dtype("f8"), bytes(le(0x3FF8000000000000, 8)))), "1.5");
  EXPECT_EQ(taped(numpy_scalar(numpy_dtype("i2", ">"), bytes("\1\2"))), "258");
  EXPECT_EQ(taped(numpy_scalar(numpy_dtype("b1", "|"), bytes("\1"))), "True");
  EXPECT_EQ(taped(numpy_scalar(numpy_dtype("u8"), bytes(le(UINT64_MAX, 8)))),
            "big 0x00ffffffffffffffff");
  EXPECT_EQ(taped(numpy_scalar(numpy_dtype("c8"), bytes(le(0x3F800000, 4) + le(0xC0000000, 4)))),
            "1+-2j");
  EXPECT_EQ(taped(numpy_scalar(numpy_dtype("O8", "|"), list({integer(1)}))), "[1]");
}

// A name of a dtype takes an element; an empty one, or one of a single character, is still a name.
TEST(tape_numpy_odd_dtypes) {
  for (const std::string& order : {text(""), text("<>"), none(), integer(1), list({}), text("=")}) {
    for (const char* code : {"f", "f4", "O", "U", "S", "V0", "M8", "", "f99999999999999999999",
                             "U4611686018427387904", "i-1"}) {
      const std::string dtype =
          build(call("numpy dtype", {text(code)}), tuple({integer(3), order, none(), none()}));
      for (const std::string& data : {bytes(""), bytes("abcd"), none(), list({}), text("abcd")}) {
        for (const std::string& value :
             {numpy_scalar(dtype, data), numpy_array(dtype, integers({1}), data),
              numpy_array(dtype, integers({0, INT64_MAX, INT64_MAX}), data),
              numpy_array(dtype, integers({-1}), data), numpy_array(dtype, none(), data)}) {
          OpenedCheckpoint checkpoint(archive_of(value));
          if (checkpoint.ok()) EXPECT_EQ(problem_of(*checkpoint), "");
        }
      }
    }
  }
}

TEST(tape_shared_and_cyclic_values) {
  EXPECT_EQ(taped("]" + put(0) + get(0) + "a"), "[[[[[[...]]]]]]");
  EXPECT_EQ(taped("}" + put(0) + text("a") + get(0) + "s"),
            "{'a': {'a': {'a': {'a': {'a': {...: ...}}}}}}");
  OpenedCheckpoint checkpoint(archive_of(list({list({integer(1)}) + put(0), get(0), get(0)})));
  ASSERT_TRUE(checkpoint.ok());
  auto tape = make_tape(checkpoint->interpreter(), checkpoint->root());
  ASSERT_TRUE(tape.ok());
  EXPECT_EQ(TapeCheck(*tape, checkpoint->catalog()).run(), "");
  // The outer list: three times the same number.
  EXPECT_EQ(tape->words[2], tape->words[3]);
  EXPECT_EQ(tape->words[3], tape->words[4]);
}

TEST(outlines) {
  const auto outlined = [](const std::string& value) { return taped(value, make_outline); };
  EXPECT_EQ(outlined(dict({text("a"), list({integer(1), list({list({none()})})})})),
            "{'a': [1, [[]]]}");
  // Attributes and arguments are as far down as their object; at the bottom it has neither.
  const std::string object = build(call("m x", {integer(1)}), dict({text("k"), list({none()})}));
  EXPECT_EQ(outlined(list({list({object})})), "[[m.x [1] state[{'k': []}]]]");
  EXPECT_EQ(outlined(list({list({list({object})})})), "[[[m.x ]]]");
  EXPECT_EQ(outlined(list({bytes("ab"), text("ab")})), "[b'', 'ab']");
  EXPECT_EQ(outlined(numpy_array(numpy_dtype("S2", "|"), integers({1}), bytes("ab"))),
            "array |S2(1,)");
  // Of many tensors the first ones, of what is between them all.
  std::string entries;
  for (uint32_t i = 0; i < 2 * kOutlineTensors; ++i) {
    entries += text("t" + std::to_string(i)) + small_tensor() + "s";
  }
  const std::string many = outlined("}" + entries + text("last") + integer(7) + "s");
  EXPECT_TRUE(many.find("'t63': tensor 63, 'last': 7}") != std::string::npos);
  const std::string items = "](" + repeat(integer(5), kOutlineItems + 1) + "e";
  EXPECT_EQ(outlined(items), "[" + repeat("5, ", kOutlineItems - 1) + "5]");
}

TEST(tape_of_laughs) {
  const std::string level = "](" + repeat(get(0), 10) + "e" + put(0);
  OpenedCheckpoint checkpoint(archive_of("]" + put(0) + repeat(level, 40)));
  ASSERT_TRUE(checkpoint.ok());
  auto tape = make_tape(checkpoint->interpreter(), checkpoint->root());
  ASSERT_TRUE(tape.ok());
  TapeCheck check(*tape, checkpoint->catalog());
  EXPECT_EQ(check.run(), "");
  EXPECT_EQ(check.values(), 41);
}

// A value that stands for another one that stands for another one ...
TEST(tape_chains_of_aliases) {
  const std::string dtype = numpy_dtype("O8", "|") + put(0) + "0";
  const std::string scalar = global("numpy.core.multiarray", "scalar") + put(1) + "0";
  for (const size_t links : {size_t{1}, size_t{2}, size_t{3}, size_t{4}, size_t{5}, size_t{9}}) {
    const std::string link = put(2) + "0" + get(1) + get(0) + get(2) + "\x86R";
    const std::string chain = integer(7) + repeat(link, links) + put(2) + "0";
    EXPECT_EQ(taped(dtype + scalar + chain + list({get(2), get(2), get(2)})), "[7, 7, 7]");
  }
  // In itself, by way of a list.
  const std::string loop = dtype + scalar + "]" + put(2) + get(1) + get(0) + get(2) + "\x86Ra";
  EXPECT_EQ(taped(loop), "[[[[[[...]]]]]]");
}

TEST(tape_deep_chain_of_aliases) {
  const std::string link = put(2) + "0" + get(1) + get(0) + get(2) + "\x86R";
  OpenedCheckpoint checkpoint(archive_of(numpy_dtype("O8", "|") + put(0) + "0" +
                                         global("numpy.core.multiarray", "scalar") + put(1) + "0" +
                                         integer(7) + repeat(link, 100'000)));
  if (checkpoint.ok()) EXPECT_EQ(problem_of(*checkpoint), "");
}
