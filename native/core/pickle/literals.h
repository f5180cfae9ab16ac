// The textual literals of pickle protocol 0, decoded as CPython's Modules/_pickle.c (3.14) does.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/pickle/nodes.h"

namespace torchmap {

// INT: a C-style integer (decimal, 0x, 0o, 0b, sign, blanks around), or the booleans "00" and "01".
// LONG: the same with an optional 'L' behind it. Too big for 64 bits: a kBigInt of decimal digits.
// Nothing when the text is neither.
std::optional<Node> parse_integer(std::string_view line, bool allow_bool);

// Decimal memo keys and the like: digits only.
std::optional<uint64_t> parse_unsigned(std::string_view line);

std::optional<double> parse_real(std::string_view line);

// Whether some version or spelling of Python's pickle could take the line for a number all the
// same: with underscores, in capitals, longer.
bool could_be_integer(std::string_view line);
bool could_be_real(std::string_view line);

// STRING: a quoted Python literal with backslash escapes, to bytes. Nothing when it is malformed.
std::optional<std::string> parse_quoted(std::string_view line);

// UNICODE: raw-unicode-escape (Latin-1 with \uXXXX and \UXXXXXXXX), to UTF-8.
std::optional<std::string> parse_raw_unicode(std::string_view line);

}  // namespace torchmap
