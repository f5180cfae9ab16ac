// Text as Python and JavaScript see it. Python writes lone surrogates into UTF-8 ("surrogatepass"),
// and a JavaScript string can hold them, so what is called UTF-8 here is the wider WTF-8.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace torchmap {

// Whether every byte is below 128.
bool is_ascii(std::string_view text);

// Whether `text` is UTF-8, lone surrogates allowed; overlong forms and values above U+10FFFF are
// not.
bool is_utf8(std::string_view text);

// UTF-16 length of valid UTF-8.
size_t utf16_length(std::string_view text);

// Appends valid UTF-8 as UTF-16. Invalid bytes become U+FFFD, never undefined behaviour: the pages
// of a private mapping can be written to after they were checked.
void append_utf16(std::u16string& out, std::string_view text);

// Appends one code point as UTF-8 (surrogates too).
void append_utf8(std::string& out, uint32_t code_point);

// Latin-1 bytes as UTF-8.
std::string latin1_to_utf8(std::string_view bytes);

// UTF-8 whose code points are all below 256 as Latin-1 bytes; false when one is not.
bool utf8_to_latin1(std::string_view text, std::string& out);

// The number that digits are in its only spelling: up to 9 of them, no zeros in front. Inline: an
// optional that is returned is written in two narrow parts and read back as a wide one, for which
// the processor waits.
inline std::optional<uint32_t> plain_number(std::string_view digits) {
  if (digits.empty() || digits.size() > 9 || (digits[0] == '0' && digits.size() > 1))
    return std::nullopt;
  uint32_t number = 0;
  for (const char digit : digits) {
    const auto value = static_cast<uint32_t>(digit - '0');
    if (value > 9) return std::nullopt;
    number = 10 * number + value;
  }
  return number;
}

}  // namespace torchmap
