// The pickle machine: every opcode, what it refuses, and what no pickle may make it do.
#include <pthread.h>

#include <array>

#include "check.h"
#include "core/pickle/decoder.h"
#include "pickle_bytes.h"

using namespace torchmap;
using namespace torchmap::check;
using namespace std::string_literals;

namespace {

// One program for each opcode, and what it reads.
struct Sample {
  Opcode op;
  std::string program, shown;
};

const std::vector<Sample>& samples() {
  static const std::vector<Sample> all = {
      {Opcode::kINT, "I-12\n.", "-12"},
      {Opcode::kBININT, "J" + le(0xFFFFFFFE, 4) + ".", "-2"},
      {Opcode::kBININT1, "K\xFF.", "255"},
      {Opcode::kBININT2, "M\xFF\xFF.", "65535"},
      {Opcode::kLONG, "L-12L\n.", "-12"},
      {Opcode::kLONG1, "\x8A\x02\xFE\xFF.", "-2"},
      {Opcode::kLONG4, "\x8B" + le(1, 4) + "\x7F.", "127"},
      {Opcode::kSTRING, "S'a\\n'\n.", "str 'a\n'"},
      {Opcode::kBINSTRING, "T" + le(2, 4) + "a\xFF.", "str 'a\xFF'"},
      {Opcode::kSHORT_BINSTRING,
       "U\x02"
       "a\xFF.",
       "str 'a\xFF'"},
      {Opcode::kBINBYTES, "B" + le(2, 4) + "a\xFF.", "b'a\xFF'"},
      {Opcode::kSHORT_BINBYTES,
       "C\x02"
       "a\xFF.",
       "b'a\xFF'"},
      {Opcode::kBINBYTES8, "\x8E" + le(2, 8) + "a\xFF.", "b'a\xFF'"},
      {Opcode::kBYTEARRAY8, "\x96" + le(2, 8) + "a\xFF.", "bytearray 'a\xFF'"},
      {Opcode::kNEXT_BUFFER, "\x97.", "UNSUPPORTED_OPCODE"},
      {Opcode::kREADONLY_BUFFER, "C\1a\x98.", "UNSUPPORTED_OPCODE"},
      {Opcode::kNONE, "N.", "None"},
      {Opcode::kNEWTRUE, "\x88.", "True"},
      {Opcode::kNEWFALSE, "\x89.", "False"},
      {Opcode::kUNICODE, "V\\u00e9\xE9\n.", "'\xC3\xA9\xC3\xA9'"},
      {Opcode::kSHORT_BINUNICODE, "\x8C\x02\xC3\xA9.", "'\xC3\xA9'"},
      {Opcode::kBINUNICODE, "X" + le(2, 4) + "\xC3\xA9.", "'\xC3\xA9'"},
      {Opcode::kBINUNICODE8, "\x8D" + le(2, 8) + "\xC3\xA9.", "'\xC3\xA9'"},
      {Opcode::kFLOAT, "F-1.5\n.", "-1.5"},
      {Opcode::kBINFLOAT, "G\x3F\xF8\0\0\0\0\0\0."s, "1.5"},
      {Opcode::kEMPTY_LIST, "].", "[]"},
      {Opcode::kAPPEND, "]K\1aK\2a.", "[1, 2]"},
      {Opcode::kAPPENDS, "](K\1K\2e.", "[1, 2]"},
      {Opcode::kLIST, "(K\1K\2l.", "[1, 2]"},
      {Opcode::kEMPTY_TUPLE, ").", "()"},
      {Opcode::kTUPLE, "(K\1K\2t.", "(1, 2)"},
      {Opcode::kTUPLE1, "K\1\x85.", "(1)"},
      {Opcode::kTUPLE2, "K\1K\2\x86.", "(1, 2)"},
      {Opcode::kTUPLE3, "K\1K\2K\3\x87.", "(1, 2, 3)"},
      {Opcode::kEMPTY_DICT, "}.", "{}"},
      {Opcode::kDICT, "(K\1K\2d.", "{1: 2}"},
      {Opcode::kSETITEM, "}K\1K\2s.", "{1: 2}"},
      {Opcode::kSETITEMS, "}(K\1K\2K\3K\4u.", "{1: 2, 3: 4}"},
      {Opcode::kEMPTY_SET, "\x8F.", "set()"},
      {Opcode::kADDITEMS, "\x8F(K\1K\2\x90.", "set(1, 2)"},
      {Opcode::kFROZENSET, "(K\1K\2\x91.", "frozenset(1, 2)"},
      {Opcode::kPOP,
       "K\1K\2"
       "0.",
       "1"},
      {Opcode::kDUP,
       "K\1"
       "2\x86.",
       "(1, 1)"},
      {Opcode::kMARK, "(t.", "()"},
      {Opcode::kPOP_MARK,
       "K\1(K\2K\3"
       "1.",
       "1"},
      {Opcode::kGET, "K\1p7\n0g7\n.", "1"},
      {Opcode::kBINGET,
       "K\1q\7"
       "0h\7.",
       "1"},
      {Opcode::kLONG_BINGET, "K\1r" + le(7, 4) + "0j" + le(7, 4) + ".", "1"},
      {Opcode::kPUT, "K\1p7\n.", "1"},
      {Opcode::kBINPUT, "K\1q\7.", "1"},
      {Opcode::kLONG_BINPUT, "K\1r" + le(7, 4) + ".", "1"},
      {Opcode::kMEMOIZE,
       "K\1\x94"
       "0h\0."s,
       "1"},
      {Opcode::kEXT1, "\x82\xFF.", "ext 255"},
      {Opcode::kEXT2, "\x83\xFF\xFF.", "ext 65535"},
      {Opcode::kEXT4, "\x84\xFF\xFF\xFF\x7F.", "ext 2147483647"},
      {Opcode::kGLOBAL, "cm.n\nx.y\n.", "m.n.x.y"},
      {Opcode::kSTACK_GLOBAL, text("m") + text("x") + "\x93.", "m.x"},
      {Opcode::kREDUCE, "cm\nx\n(K\1tR.", "m.x(1)"},
      {Opcode::kBUILD, "cm\nx\n)RK\1bK\2b.", "m.x() state[1, 2]"},
      {Opcode::kINST, "(K\1im\nx\n.", "inst m.x(1)"},
      {Opcode::kOBJ, "(cm\nx\nK\1o.", "obj m.x(1)"},
      {Opcode::kNEWOBJ, "cm\nx\n(K\1t\x81.", "new m.x(1)"},
      {Opcode::kNEWOBJ_EX, "cm\nx\n)}\x92.", "newex m.x() **{}"},
      {Opcode::kPROTO, "\x80\5N.", "None"},
      {Opcode::kSTOP, "N.", "None"},
      {Opcode::kFRAME, "\x95" + le(2, 8) + "N.", "None"},
      {Opcode::kPERSID, "P12\n.", "pid '12'"},
      {Opcode::kBINPERSID, "K\1Q.", "pid 1"},
  };
  return all;
}

}  // namespace

TEST(opcode_names) {
  int named = 0;
  for (int byte = 0; byte < 256; ++byte) named += !opcode_name(static_cast<uint8_t>(byte)).empty();
  EXPECT_EQ(named, 68);
  EXPECT_EQ(opcode_name('.'), "STOP");
  EXPECT_EQ(opcode_name(0x93), "STACK_GLOBAL");
}

TEST(opcode_success) {
  std::array<bool, 256> seen = {};
  for (const Sample& sample : samples()) {
    EXPECT_EQ(read(sample.program), sample.shown);
    seen[static_cast<uint8_t>(sample.op)] = true;
  }
  for (size_t byte = 0; byte < seen.size(); ++byte) {
    EXPECT_EQ(seen[byte], !opcode_name(static_cast<uint8_t>(byte)).empty());
    if (opcode_name(static_cast<uint8_t>(byte)).empty())
      EXPECT_EQ(read(std::string(1, static_cast<char>(byte)) + "N."), "BAD_PICKLE");
  }
}

TEST(opcode_truncation) {
  for (const Sample& sample : samples()) {
    for (size_t length = 0; length < sample.program.size(); ++length) {
      Reading reading(sample.program.substr(0, length));
      ASSERT_FALSE(reading.ok());
      if (reading.failure().code == Code::kUnsupportedOpcode) continue;
      EXPECT_EQ(code_name(reading.failure().code), "TRUNCATED");
      EXPECT_LE(reading.failure().offset.value(), length);
    }
  }
}

TEST(opcode_ignores_what_follows_stop) {
  for (const Sample& sample : samples()) {
    Reading reading(sample.program + "(((cos\nsystem\n");
    EXPECT_EQ(reading.shown(), sample.shown);
    if (reading.ok()) EXPECT_EQ(reading.decoded->consumed, sample.program.size());
  }
}

TEST(opcode_underflow) {
  for (const char* program : {
           ".",         "a.",           "]a.",          "s.",        "}s.",
           "}K\1s.",    "\x85.",        "\x86.",        "K\1\x86.",  "K\1K\2\x87.",
           "\x93.",     "\x8C\1m\x93.", "R.",           "cm\nx\nR.", "b.",
           "cm\nx\nb.", "\x81.",        "cm\nx\n\x81.", "\x92.",     "cm\nx\n)\x92.",
           "Q.",        "0.",           "2.",           "q\1.",      "p0\n.",
           "\x94.",     "N0.",          "N00.",
       }) {
    EXPECT_EQ(read(program), "BAD_PICKLE");
  }
  EXPECT_EQ(read("r\0\0\0\0."s), "BAD_PICKLE");
  Reading reading("N]0\x87.");
  ASSERT_FALSE(reading.ok());
  EXPECT_EQ(reading.failure().message, "pickle opcode TUPLE3 needs 3 values but the stack holds 1");
  EXPECT_EQ(reading.failure().offset.value(), 3);
}

TEST(opcode_needs_a_mark) {
  for (const char* program : {"]e.", "K\1l.", "K\1t.", "K\1d.", "}u.", "\x8F\x90.", "K\1\x91.",
                              "1.", "N1.", "im\nx\n.", "cm\nx\no."}) {
    EXPECT_EQ(read(program), "BAD_PICKLE");
  }
}

// Nothing below the innermost mark can be taken.
TEST(opcode_stops_at_the_mark) {
  for (const char* program :
       {"](K\1a.", "}K\1(K\2s.", "K\1(\x85.", "K\1(K\2\x86.", "K\1K\2(K\3\x87.", "N(.", "N(2.",
        "N(Q.", "cm\nx\n()R.", "cm\nx\n(R.", "cm\nx\n)R(Nb.", "\x8C\1m(\x8C\1x\x93.",
        "cm\nx\n()\x81.", "cm\nx\n)(}\x92."}) {
    EXPECT_EQ(read(program), "BAD_PICKLE");
  }
  EXPECT_EQ(read("N(q\1."), "BAD_PICKLE");
  EXPECT_EQ(read("N(\x94."), "BAD_PICKLE");
  // Batches need their container right below the mark.
  EXPECT_EQ(read("(K\1e."), "BAD_PICKLE");
  EXPECT_EQ(read("((K\1e."), "BAD_PICKLE");
  EXPECT_EQ(read("}((K\1K\2u."), "BAD_PICKLE");
  // A mark given back gives back what was below it.
  EXPECT_EQ(read("K\1(K\2t\x86."), "(1, (2))");
  EXPECT_EQ(read("K\1((1K\2t\x86."), "(1, (2))");
  EXPECT_EQ(read("K\1(0."), "1");
  EXPECT_EQ(read("K\1(0K\2\x86."), "(1, 2)");
}

TEST(opcode_leaves_marks_and_values_behind) {
  EXPECT_EQ(read("K\1((K\2."), "2");
  EXPECT_EQ(read("K\1K\2K\3."), "3");
}

TEST(opcode_wrong_target) {
  for (const char* program : {
           "NK\1a.",
           ")K\1a.",
           "}K\1a.",
           "K\1K\2a.",
           "N(K\1e.",
           "}(K\1e.",
           "(\x91(K\1\x90.",
           "N(K\1\x90.",
           "]K\1K\2s.",
           "](K\1K\2u.",
           "NK\1K\2s.",
           ")(K\1K\2u.",
           "NNb.",
           "]Nb.",
           "}}b.",
           "K\1Nb.",
           "N)R.",
           "])R.",
           "(tN)\x81.",
           "K\1)\x81.",
           "N)}\x92.",
           "(N)o.",
           "cm\nx\nNR.",
           "cm\nx\n]R.",
           "cm\nx\nK\1\x81.",
           "cm\nx\nN}\x92.",
           "K\1K\2\x93.",
           "\x8C\1mK\2\x93.",
           "(cm\nx\no(.",
       }) {
    EXPECT_EQ(read(program), "BAD_PICKLE");
  }
  EXPECT_EQ(read(bytes("m") + bytes("x") + "\x93."), "BAD_PICKLE");
  EXPECT_EQ(read(text("m") + none() + "\x93."), "BAD_PICKLE");
}

// Objects take everything, since nobody knows what they are.
TEST(opcode_fills_objects) {
  EXPECT_EQ(read("cm\nx\n)RK\1a(K\2K\3e."), "m.x() items[1, 2, 3]");
  EXPECT_EQ(read("cm\nx\n)RK\1K\2s(K\3K\4u."), "m.x() entries{1: 2, 3: 4}");
  EXPECT_EQ(read("cm\nx\n)R(K\1\x90."), "m.x() items[1]");
  EXPECT_EQ(read("cm\nx\n)R)R)\x81."), "new m.x()()()");
  EXPECT_EQ(read("cm\nx\ncm\ny\n)RR."), "m.xm.y()");
  EXPECT_EQ(read("cm\nx\nNb."), "m.x state[None]");
  EXPECT_EQ(read("K\1QK\2b."), "pid 1 state[2]");
  EXPECT_EQ(read("\x82\1)RK\2b."), "ext 1() state[2]");
  EXPECT_EQ(read("cm\nx\n)}K\1K\2s\x92K\3b."), "newex m.x() **{1: 2} state[3]");
}

TEST(opcode_batches_of_one_container) {
  // Other values come between the batches of the first list.
  EXPECT_EQ(read("]q\0(K\1e0](K\2K\3eh\0(K\4K\5e\x86."s), "([2, 3], [1, 4, 5])");
  EXPECT_EQ(read("](e(e."), "[]");
  EXPECT_EQ(read("}(u."), "{}");
  EXPECT_EQ(read("\x8F(\x90."), "set()");
}

TEST(opcode_odd_entries) {
  EXPECT_EQ(read("(K\1d."), "BAD_PICKLE");
  EXPECT_EQ(read("}(K\1u."), "BAD_PICKLE");
  EXPECT_EQ(read("}(K\1K\2K\3u."), "BAD_PICKLE");
}

TEST(opcode_unhashable_keys) {
  for (const std::string& key : {"]"s, "}"s, "\x8F"s, "\x96" + le(0, 8)}) {
    EXPECT_EQ(read("}" + key + "Ns."), "BAD_PICKLE");
    EXPECT_EQ(read("(" + key + "Nd."), "BAD_PICKLE");
    EXPECT_EQ(read("}(" + key + "Nu."), "BAD_PICKLE");
  }
  EXPECT_EQ(read("}q\0h\0Ns."s), "BAD_PICKLE");  // itself
  EXPECT_EQ(read("}(K\1tNs."), "{(1): None}");
}

TEST(integer_widths) {
  EXPECT_EQ(read("J" + le(0x80000000, 4) + "."), "-2147483648");
  EXPECT_EQ(read("K\0."s), "0");
  EXPECT_EQ(read("M\0\0."s), "0");
}

TEST(long_sign_extension) {
  EXPECT_EQ(read("\x8A\0."s), "0");
  EXPECT_EQ(read("\x8A\1\x80."), "-128");
  EXPECT_EQ(read("\x8A\2\x80\0."s), "128");
  EXPECT_EQ(read("\x8A\x08" + le(uint64_t{1} << 63, 8) + "."), "-9223372036854775808");
  EXPECT_EQ(read("\x8A\x08" + le(INT64_MAX, 8) + "."), "9223372036854775807");
  EXPECT_EQ(read("\x8A\x09" + le(7, 8) + "\1."), "bytes " + le(7, 8) + "\1");
  EXPECT_EQ(read("\x8B" + le(0, 4) + "."), "0");
}

TEST(long_length) {
  EXPECT_EQ(read("\x8B" + le(0x80000000, 4) + "."), "BAD_PICKLE");  // negative
  EXPECT_EQ(read("\x8B" + le(0xFFFFFFFF, 4) + "N."), "BAD_PICKLE");
  EXPECT_EQ(read("\x8B" + le(0x7FFFFFFF, 4) + "N."), "TRUNCATED");
}

TEST(literal_integers) {
  EXPECT_EQ(read("I00\n."), "False");
  EXPECT_EQ(read("I01\n."), "True");
  EXPECT_EQ(read("I0\n."), "0");
  EXPECT_EQ(read("L01\n."), "1");
  EXPECT_EQ(read("I 0x10 \r\n."), "16");
  for (const char* text : {"I\n.", "I-\n.", "Ix\n.", "I1 2\n.", "I--1\n.", "I1L\n.", "I1.0\n.",
                           "L\n.", "LL\n.", "L1LL\n.", "I0x\n.", "F\n.", "Fx\n.", "F1,5\n."}) {
    EXPECT_EQ(read(text), "BAD_PICKLE");
  }
}

TEST(literal_of_many_digits) {
  EXPECT_EQ(read("I" + repeat("9", 4300) + "\n."), "big " + repeat("9", 4300));
  EXPECT_EQ(read("I" + repeat("9", 4301) + "\n."), "BAD_PICKLE");
  EXPECT_EQ(read("L" + repeat("9", 200'000) + "L\n."), "BAD_PICKLE");
}

TEST(eight_byte_lengths) {
  for (const uint64_t length : {UINT64_MAX, UINT64_MAX - 8, uint64_t{1} << 63,
                                (uint64_t{1} << 63) - 1, uint64_t{1} << 40, uint64_t{3}}) {
    for (const char* code : {"\x8D", "\x8E", "\x96"}) {
      Reading reading(code + le(length, 8) + "N.");
      ASSERT_FALSE(reading.ok());
      EXPECT_EQ(code_name(reading.failure().code), "TRUNCATED");
      EXPECT_EQ(reading.failure().offset.value(), 0);
    }
  }
}

TEST(four_byte_lengths) {
  EXPECT_EQ(read("X" + le(0xFFFFFFFF, 4) + "N."), "TRUNCATED");  // unsigned
  EXPECT_EQ(read("B" + le(0xFFFFFFFF, 4) + "N."), "TRUNCATED");
  EXPECT_EQ(read("T" + le(0xFFFFFFFF, 4) + "N."), "BAD_PICKLE");  // signed
  EXPECT_EQ(read("T" + le(0x7FFFFFFF, 4) + "N."), "TRUNCATED");
}

TEST(text_surrogates) {
  EXPECT_EQ(read(text("a\xED\xA0\x80") + "."), "'a\xED\xA0\x80'");  // alone, as Python writes it
  EXPECT_EQ(read("V\\ud83d\\ude00\n."), "'\xED\xA0\xBD\xED\xB8\x80'");
  EXPECT_EQ(read("X" + le(1, 4) + "\0."s), "'\0'"s);
}

TEST(text_not_utf8) {
  for (const char* bad : {"\xFF", "\xC3", "\xC0\x80", "\xE0\x80\x80", "\xF4\x90\x80\x80"}) {
    const std::string bytes = bad;
    EXPECT_EQ(read(text(bytes) + "."), "BAD_PICKLE");
    EXPECT_EQ(read(op(Opcode::kSHORT_BINUNICODE, le(bytes.size(), 1) + bytes) + "."), "BAD_PICKLE");
    EXPECT_EQ(read(op(Opcode::kBINUNICODE8, le(bytes.size(), 8) + bytes) + "."), "BAD_PICKLE");
    EXPECT_EQ(read("c" + bytes + "\nx\n."), "BAD_PICKLE");
    EXPECT_EQ(read("cm\n" + bytes + "\n."), "BAD_PICKLE");
  }
  EXPECT_EQ(read("V\\u12\n."), "BAD_PICKLE");
  EXPECT_EQ(read("V\\U00110000\n."), "BAD_PICKLE");
  EXPECT_EQ(read("Sa\n."), "BAD_PICKLE");
  EXPECT_EQ(read("S'a\"\n."), "BAD_PICKLE");
}

TEST(text_of_python2) {
  Reading reading("U\3abcU\1\xE9\x86.");
  ASSERT_TRUE(reading.ok());
  EXPECT_EQ(reading.shown(), "(str 'abc', str '\xE9')");
  EXPECT_EQ(read("(U\1mU\1x\x93l."), "[m.x]");  // names may be strings of Python 2
  EXPECT_EQ(read("U\1\xFFU\1x\x93."), "BAD_PICKLE");
}

TEST(persistent_ids) {
  EXPECT_EQ(read("P\n."), "pid ''");
  EXPECT_EQ(read("P\xC3\xA9\n."), "BAD_PICKLE");
  EXPECT_EQ(read("(K\1tQ."), "pid (1)");
}

TEST(extension_codes) {
  EXPECT_EQ(read("\x82\1."), "ext 1");
  EXPECT_EQ(read("\x82\0."s), "BAD_PICKLE");
  EXPECT_EQ(read("\x83\0\0."s), "BAD_PICKLE");
  EXPECT_EQ(read("\x84" + le(0, 4) + "."), "BAD_PICKLE");
  EXPECT_EQ(read("\x84" + le(0x80000000, 4) + "."), "BAD_PICKLE");
}

TEST(old_instances) {
  EXPECT_EQ(read("(im\nx\n."), "inst m.x()");
  EXPECT_EQ(read("K\1(K\2im\nx\n\x86."), "(1, inst m.x(2))");
  EXPECT_EQ(read("(cm\nx\no."), "obj m.x()");
  EXPECT_EQ(read("(o."), "BAD_PICKLE");
  EXPECT_EQ(read("(K\1o."), "BAD_PICKLE");
  EXPECT_EQ(read("(im\n."), "TRUNCATED");
}

// Room for what is pushed has to be there also when nothing was popped before.
TEST(stack_grows_at_every_depth) {
  for (size_t depth = 60; depth < 68; ++depth) {
    for (const char* program : {"(im\nx\n", "(l", "(d", "(t", "(\x91", "(cm\nx\no", "(1N", "N2"}) {
      EXPECT_EQ(Reading(repeat("N", depth) + program + ".").ok(), true);
    }
  }
}

TEST(globals_once_each) {
  Reading reading("(cm\nx\ncm\nx\ncm\ny\n" + text("m") + text("x") + "\x93t.");
  EXPECT_EQ(reading.shown(), "(m.x, m.x, m.y, m.x)");
  ASSERT_EQ(reading.pool.globals.size(), 2);
  EXPECT_EQ(reading.pool.globals[0].offset, 1);
  EXPECT_EQ(reading.pool.globals[1].offset, 11);
}

TEST(global_of_long_names) {
  // A name can be given again in a few bytes, so long ones would make work without end.
  EXPECT_TRUE(Reading(global(repeat("m", 4096), repeat("x", 4096)) + ".").ok());
  EXPECT_EQ(read(global(repeat("m", 4097), "x") + "."), "BAD_PICKLE");
  EXPECT_EQ(read(global("m", repeat("x", 4097)) + "."), "BAD_PICKLE");
}

TEST(protocols) {
  for (int protocol = 0; protocol <= 5; ++protocol) {
    Reading reading("\x80" + le(static_cast<uint64_t>(protocol), 1) + "N.");
    ASSERT_TRUE(reading.ok());
    EXPECT_EQ(reading.decoded->protocol, protocol);
  }
  EXPECT_EQ(read("\x80\6N."), "BAD_PICKLE");
  EXPECT_EQ(read("\x80\xFFN."), "BAD_PICKLE");
}

TEST(base_offset_of_failures) {
  DecodeOptions options;
  options.base_offset = 1000;
  Reading reading("NNN0\0.", options);
  ASSERT_FALSE(reading.ok());
  EXPECT_EQ(reading.failure().offset.value(), 1004);
  Reading truncated("NNN", options);
  ASSERT_FALSE(truncated.ok());
  EXPECT_EQ(truncated.failure().offset.value(), 1003);
}
