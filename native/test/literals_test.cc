// The textual literals of protocol 0, as CPython reads them.
#include "core/pickle/literals.h"

#include <cmath>

#include "check.h"
#include "pickle_bytes.h"

using namespace torchmap;
using namespace torchmap::check;
using namespace std::string_literals;

namespace {

std::string shown(const std::optional<Node>& node) {
  if (!node) return "nothing";
  switch (node->tag) {
    case Tag::kBool:
      return node->a != 0 ? "True" : "False";
    case Tag::kInt:
      return std::to_string(node->integer);
    default:
      return "big " + std::string(node->text());
  }
}
std::string of_int(std::string_view line) { return shown(parse_integer(line, true)); }
std::string of_long(std::string_view line) { return shown(parse_integer(line, false)); }

std::string quoted(std::string_view line) { return parse_quoted(line).value_or("nothing"); }
std::string raw_unicode(std::string_view line) {
  return parse_raw_unicode(line).value_or("nothing");
}

}  // namespace

TEST(integer_decimal) {
  EXPECT_EQ(of_int("0"), "0");
  EXPECT_EQ(of_int("-0"), "0");
  EXPECT_EQ(of_int("+17"), "17");
  EXPECT_EQ(of_int(" \t17\r"), "17");
  EXPECT_EQ(of_int("9223372036854775807"), "9223372036854775807");
  EXPECT_EQ(of_int("-9223372036854775808"), "-9223372036854775808");
}

TEST(integer_too_big_for_64_bits) {
  EXPECT_EQ(of_int("9223372036854775808"), "big 9223372036854775808");
  EXPECT_EQ(of_int("-9223372036854775809"), "big -9223372036854775809");
  EXPECT_EQ(of_long("+18446744073709551616L"), "big 18446744073709551616");
  EXPECT_EQ(of_long("119547037146038801333356L"), "big 119547037146038801333356");
}

TEST(integer_booleans) {
  EXPECT_EQ(of_int("00"), "False");
  EXPECT_EQ(of_int("01"), "True");
  EXPECT_EQ(of_long("00"), "0");
  EXPECT_EQ(of_long("01"), "1");
  EXPECT_EQ(of_int("+0"), "0");
  EXPECT_EQ(of_int(" 1"), "1");
}

TEST(integer_other_bases) {
  EXPECT_EQ(of_int("0x10"), "16");
  EXPECT_EQ(of_int("-0XfF"), "-255");
  EXPECT_EQ(of_int("0o17"), "15");
  EXPECT_EQ(of_int("0b101"), "5");
  EXPECT_EQ(of_int("0x"), "nothing");
  EXPECT_EQ(of_int("0xg"), "nothing");
  EXPECT_EQ(of_int("0x-1"), "nothing");
  EXPECT_EQ(of_int("0b2"), "nothing");
}

TEST(integer_malformed) {
  for (const char* line :
       {"", " ", "-", "+", "--1", "+-1", "1 1", "1.", "1e3", "x", "L", "1_", "1L"})
    EXPECT_EQ(of_int(line), "nothing");
  EXPECT_EQ(of_long("L"), "nothing");
  EXPECT_EQ(of_long("1LL"), "nothing");
  EXPECT_EQ(of_int("1\0"s), "nothing");
}

TEST(integer_of_most_digits) {
  EXPECT_EQ(of_int(repeat("0", kMaxIntegerDigits - 1) + "7"), "7");
  EXPECT_EQ(of_long("-" + repeat("1", kMaxIntegerDigits) + "L"),
            "big -" + repeat("1", kMaxIntegerDigits));
  EXPECT_EQ(of_int(repeat("1", kMaxIntegerDigits + 1)), "nothing");
  EXPECT_EQ(of_int(repeat("1", 1'000'000)), "nothing");
}

TEST(unsigned_only_digits) {
  EXPECT_EQ(parse_unsigned("0").value(), 0);
  EXPECT_EQ(parse_unsigned(" 12 ").value(), 12);
  EXPECT_EQ(parse_unsigned("18446744073709551615").value(), UINT64_MAX);
  for (const char* line : {"", "-1", "+1", "18446744073709551616", "0x1", "1 2", "one"})
    EXPECT_FALSE(parse_unsigned(line).has_value());
}

TEST(real_plain) {
  EXPECT_EQ(parse_real("1.5").value(), 1.5);
  EXPECT_EQ(parse_real(" +1.5e3 ").value(), 1500.0);
  EXPECT_EQ(parse_real("-0").value(), 0.0);
  EXPECT_TRUE(std::signbit(parse_real("-0").value()));
  EXPECT_EQ(parse_real(".5").value(), 0.5);
  EXPECT_EQ(parse_real("5.").value(), 5.0);
  EXPECT_EQ(parse_real("0.1").value(), 0.1);
  EXPECT_EQ(parse_real("5e-324").value(), 5e-324);
}

TEST(real_special) {
  EXPECT_TRUE(std::isnan(parse_real("nan").value()));
  EXPECT_EQ(parse_real("inf").value(), HUGE_VAL);
  EXPECT_EQ(parse_real("-inf").value(), -HUGE_VAL);
  EXPECT_EQ(parse_real("infinity").value(), HUGE_VAL);
}

TEST(real_out_of_range) {
  EXPECT_EQ(parse_real("1e999").value(), HUGE_VAL);
  EXPECT_EQ(parse_real("-1e999").value(), -HUGE_VAL);
  EXPECT_EQ(parse_real("1e-999").value(), 0.0);
  EXPECT_TRUE(std::signbit(parse_real("-1e-999").value()));
  EXPECT_EQ(parse_real(repeat("9", 400)).value(), HUGE_VAL);
  // The exponent alone does not say which of the two it is.
  EXPECT_EQ(parse_real("0." + repeat("0", 400) + "1").value(), 0.0);
  EXPECT_EQ(parse_real("1" + repeat("0", 400) + "e-5").value(), HUGE_VAL);
}

TEST(real_malformed) {
  for (const char* line : {"", " ", "+", "-", "e5", "1e", "1,5", "0x1p3", "1 2", "--1", "one"})
    EXPECT_FALSE(parse_real(line).has_value());
}

TEST(quoted_plain) {
  EXPECT_EQ(quoted("'abc'"), "abc");
  EXPECT_EQ(quoted("\"abc\""), "abc");
  EXPECT_EQ(quoted("''"), "");
  EXPECT_EQ(quoted(" 'abc'\r"), "abc");
  EXPECT_EQ(quoted("'it's'"), "it's");
  EXPECT_EQ(quoted("'\xE9'"), "\xE9");
}

TEST(quoted_escapes) {
  EXPECT_EQ(quoted(R"('\\\'\"\a\b\f\n\r\t\v')"), "\\'\"\a\b\f\n\r\t\v");
  EXPECT_EQ(quoted(R"('\x41\xfF')"), "A\xFF");
  EXPECT_EQ(quoted(R"('\0\12\1234\08')"),
            "\0\12\123"
            "4\0"
            "8"s);
  EXPECT_EQ(quoted(R"('\777')"), "\xFF");
  EXPECT_EQ(quoted(R"('\q\u0041')"), R"(\q\u0041)");
}

TEST(quoted_malformed) {
  for (const char* line : {"", "'", "\"", "abc", "'abc", "abc'", "'abc\"", R"('\')", R"('\x4')",
                           R"('\x')", R"('\xg1')"}) {
    EXPECT_FALSE(parse_quoted(line).has_value());
  }
}

TEST(raw_unicode_escapes) {
  EXPECT_EQ(raw_unicode("abc"), "abc");
  EXPECT_EQ(raw_unicode(""), "");
  EXPECT_EQ(raw_unicode("\xE9"), "\xC3\xA9");
  EXPECT_EQ(raw_unicode(R"(\u00e9\u20AC)"), "\xC3\xA9\xE2\x82\xAC");
  EXPECT_EQ(raw_unicode(R"(\U0001F600)"), "\xF0\x9F\x98\x80");
  EXPECT_EQ(raw_unicode(R"(\ud83d)"), "\xED\xA0\xBD");
  EXPECT_EQ(raw_unicode(R"(\n\x41\)"), R"(\n\x41\)");
  EXPECT_EQ(raw_unicode(R"(\\u0041)"), R"(\\u0041)");
  EXPECT_EQ(raw_unicode(R"(\\\u0041)"), R"(\\A)");
}

TEST(raw_unicode_malformed) {
  for (const char* line :
       {R"(\u)", R"(\u123)", R"(\u12g4)", R"(\U0001F60)", R"(\U00110000)", R"(\UFFFFFFFF)"}) {
    EXPECT_FALSE(parse_raw_unicode(line).has_value());
  }
}
