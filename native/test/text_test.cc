// UTF-8 with lone surrogates, UTF-16 and Latin-1.
#include "core/text.h"

#include "check.h"
#include "core/cursor.h"
#include "pickle_bytes.h"

using namespace torchmap;
using namespace torchmap::check;
using namespace std::string_literals;

namespace {

std::u16string utf16(std::string_view text) {
  std::u16string out;
  append_utf16(out, text);
  return out;
}

}  // namespace

TEST(text_ascii) {
  // Bytes are counted eight at a time: every length and every place of the odd one.
  for (size_t length = 0; length < 20; ++length) {
    const std::string plain(length, 'a');
    EXPECT_TRUE(is_ascii(plain));
    EXPECT_TRUE(is_utf8(plain));
    EXPECT_EQ(utf16_length(plain), length);
    for (size_t at = 0; at < length; ++at) {
      std::string odd = plain;
      odd[at] = '\x80';
      EXPECT_FALSE(is_ascii(odd));
      EXPECT_FALSE(is_utf8(odd));
    }
  }
}

TEST(text_every_code_point) {
  for (uint32_t point = 0; point <= 0x10FFFF; point += point < 0x900 ? 1 : 97) {
    std::string text;
    append_utf8(text, point);
    ASSERT_TRUE(is_utf8(text));
    const std::u16string units = utf16(text);
    ASSERT_EQ(units.size(), point < 0x10000 ? 1 : 2);
    ASSERT_EQ(utf16_length(text), units.size());
    const uint32_t back =
        units.size() == 1
            ? units[0]
            : 0x10000 + ((uint32_t{units[0]} & 0x3FF) << 10 | (uint32_t{units[1]} & 0x3FF));
    ASSERT_EQ(back, point);
    // None of its prefixes is text.
    for (size_t length = 1; length < text.size(); ++length)
      ASSERT_FALSE(is_utf8(text.substr(0, length)));
  }
}

TEST(text_not_utf8_at_all) {
  for (const char* text : {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC2",
                           "\xC2"
                           "a",
                           "\xE0\x9F\xBF", "\xE1\x80", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80",
                           "\xF5\x80\x80\x80", "\xFE", "\xFF"}) {
    EXPECT_FALSE(is_utf8(text));
    EXPECT_FALSE(is_utf8("a"s + text + "a"));
    // Never undefined, whatever it is.
    EXPECT_EQ(utf16(text).size(), utf16_length(text));
    EXPECT_EQ(utf16(text)[0], 0xFFFD);
  }
}

TEST(text_surrogates_in_utf16) {
  EXPECT_TRUE(is_utf8("\xED\xA0\x80"));
  EXPECT_TRUE(utf16("\xED\xA0\x80") == std::u16string(1, 0xD800));
  EXPECT_TRUE(utf16("\xED\xA0\xBD\xED\xB8\x80") == utf16("\xF0\x9F\x98\x80"));
}

TEST(text_latin1) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  const std::string text = latin1_to_utf8(all);
  EXPECT_EQ(text.size(), 128 + 2 * 128);
  EXPECT_TRUE(is_utf8(text));
  std::string back;
  EXPECT_TRUE(utf8_to_latin1(text, back));
  EXPECT_EQ(back, all);
  for (const char* bad : {"\xC4\x80", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\xFF", "\xC3"}) {
    std::string out;
    EXPECT_FALSE(utf8_to_latin1(bad, out));
  }
}

TEST(cursor_stops_at_the_end) {
  Cursor cursor(as_bytes("\1\2\3\4\5"));
  EXPECT_EQ(cursor.read<uint32_t>().value(), 0x04030201);
  EXPECT_FALSE(cursor.read<uint16_t>().has_value());
  EXPECT_EQ(cursor.position(), 4);
  EXPECT_FALSE(cursor.take(2).has_value());
  EXPECT_FALSE(cursor.take(UINT64_MAX).has_value());
  EXPECT_EQ(as_text(cursor.take(1).value()), "\5");
  EXPECT_EQ(cursor.remaining(), 0);
  EXPECT_EQ(cursor.take(0).value().size(), 0);
}

TEST(arithmetic_that_cannot_wrap) {
  EXPECT_TRUE(fits(0, 0, 0));
  EXPECT_TRUE(fits(3, 2, 5));
  EXPECT_FALSE(fits(3, 3, 5));
  EXPECT_FALSE(fits(6, 0, 5));
  EXPECT_FALSE(fits(1, UINT64_MAX, 5));
  EXPECT_FALSE(fits(UINT64_MAX, 2, 5));
  EXPECT_EQ(checked_add(UINT64_MAX - 1, 1).value(), UINT64_MAX);
  EXPECT_FALSE(checked_add(UINT64_MAX, 1).has_value());
  EXPECT_EQ(checked_mul(uint64_t{1} << 32, (uint64_t{1} << 32) - 1).value(), (UINT64_MAX >> 32)
                                                                                 << 32);
  EXPECT_FALSE(checked_mul(uint64_t{1} << 32, uint64_t{1} << 32).has_value());
  EXPECT_EQ(checked_mul(0, UINT64_MAX).value(), 0);
  EXPECT_EQ(checked_mul(UINT64_MAX, 0).value(), 0);
}
