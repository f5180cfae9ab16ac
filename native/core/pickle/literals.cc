#include "core/pickle/literals.h"

#include <charconv>
#include <cstdlib>
#include <limits>

#include "core/limits.h"
#include "core/text.h"

namespace torchmap {
namespace {

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n\v\f";
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Reads exactly `count` hexadecimal digits at `at`.
std::optional<uint32_t> hex_number(std::string_view text, size_t at, size_t count) {
  if (count > text.size() - at) return std::nullopt;
  uint32_t value = 0;
  for (size_t i = 0; i < count; ++i) {
    const int digit = hex_digit(text[at + i]);
    if (digit < 0) return std::nullopt;
    value = value << 4 | static_cast<uint32_t>(digit);
  }
  return value;
}

// With a digit in it, and nothing but these characters.
bool has_only(std::string_view line, std::string_view allowed) {
  return line.find_first_of("0123456789") != std::string_view::npos &&
         line.find_first_not_of(allowed) == std::string_view::npos;
}

}  // namespace

bool could_be_integer(std::string_view line) {
  return has_only(trim(line), "0123456789abcdefABCDEFxXoOL_+-");
}

bool could_be_real(std::string_view line) {
  std::string word(trim(line));
  for (char& c : word) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  if (word.starts_with('+') || word.starts_with('-')) word.erase(0, 1);
  return word == "nan" || word == "inf" || word == "infinity" || has_only(word, "0123456789._e+-");
}

std::optional<Node> parse_integer(std::string_view line, bool allow_bool) {
  if (allow_bool && (line == "00" || line == "01"))
    return Node::words(Tag::kBool, line[1] == '1', 0, 0);
  std::string_view text = trim(line);
  if (!allow_bool && text.ends_with('L')) text.remove_suffix(1);
  const bool negative = text.starts_with('-');
  std::string_view digits = negative || text.starts_with('+') ? text.substr(1) : text;
  if (digits.empty() || digits.size() > kMaxIntegerDigits) return std::nullopt;
  int base = 10;
  if (digits.size() > 2 && digits[0] == '0') {
    const char mark = static_cast<char>(digits[1] | 0x20);
    base = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 10;
    if (base != 10) digits.remove_prefix(2);
  }
  uint64_t magnitude = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), magnitude, base);
  if (end != digits.data() + digits.size() || error == std::errc::invalid_argument)
    return std::nullopt;
  constexpr uint64_t kMax = std::numeric_limits<int64_t>::max();
  if (error == std::errc{} && magnitude <= kMax + (negative ? 1 : 0)) {
    return Node::of_integer(static_cast<int64_t>(negative ? 0 - magnitude : magnitude));
  }
  if (base != 10) return std::nullopt;
  return Node::of_text(Tag::kBigInt, text.starts_with('+') ? digits : text, kDecimal);
}

std::optional<uint64_t> parse_unsigned(std::string_view line) {
  line = trim(line);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value);
  if (line.empty() || end != line.data() + line.size() || error != std::errc{}) return std::nullopt;
  return value;
}

std::optional<double> parse_real(std::string_view line) {
  std::string_view text = trim(line);
  if (text.starts_with('+')) text.remove_prefix(1);
  std::string_view digits = text;
  if (digits.starts_with('-') && text.data() == trim(line).data()) digits.remove_prefix(1);
  const bool is_word = digits == "inf" || digits == "nan" || digits == "infinity";
  if (!is_word &&
      (digits.empty() || digits.find_first_not_of("0123456789.eE+-") != std::string_view::npos ||
       digits.front() == '-' || digits.front() == '+')) {
    return std::nullopt;
  }
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end != text.data() + text.size() || error == std::errc::invalid_argument) return std::nullopt;
  // from_chars does not say whether the number is too large or too small for a double.
  if (error != std::errc{}) return std::strtod(std::string(text).c_str(), nullptr);
  return value;
}

std::optional<std::string> parse_quoted(std::string_view line) {
  line = trim(line);
  if (line.size() < 2 || line.front() != line.back() ||
      (line.front() != '\'' && line.front() != '"'))
    return std::nullopt;
  line = line.substr(1, line.size() - 2);
  std::string out;
  out.reserve(line.size());
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] != '\\') {
      out.push_back(line[i]);
      continue;
    }
    if (++i == line.size()) return std::nullopt;
    constexpr std::string_view kNames = "\\'\"abfnrtv", kValues = "\\'\"\a\b\f\n\r\t\v";
    if (const size_t known = kNames.find(line[i]); known != std::string_view::npos) {
      out.push_back(kValues[known]);
    } else if (line[i] == 'x') {
      const auto value = hex_number(line, i + 1, 2);
      if (!value) return std::nullopt;
      out.push_back(static_cast<char>(*value));
      i += 2;
    } else if (line[i] >= '0' && line[i] <= '7') {
      uint32_t value = 0;
      size_t length = 0;
      for (; length < 3 && i + length < line.size() && line[i + length] >= '0' &&
             line[i + length] <= '7';
           ++length) {
        value = value << 3 | static_cast<uint32_t>(line[i + length] - '0');
      }
      out.push_back(static_cast<char>(value));
      i += length - 1;
    } else {
      out.push_back('\\');
      out.push_back(line[i]);
    }
  }
  return out;
}

std::optional<std::string> parse_raw_unicode(std::string_view line) {
  std::string out;
  out.reserve(line.size());
  for (size_t i = 0; i < line.size(); ++i) {
    // An escape counts only after an odd number of backslashes.
    if (line[i] == '\\' && i + 1 < line.size()) {
      const size_t digits = line[i + 1] == 'u' ? 4 : line[i + 1] == 'U' ? 8 : 0;
      if (digits != 0) {
        const auto point = hex_number(line, i + 2, digits);
        if (!point || *point > 0x10FFFF) return std::nullopt;
        append_utf8(out, *point);
        i += 1 + digits;
        continue;
      }
      if (line[i + 1] == '\\') {
        out.append("\\\\");
        ++i;
        continue;
      }
    }
    append_utf8(out, static_cast<unsigned char>(line[i]));
  }
  return out;
}

}  // namespace torchmap
