#include "core/torch/script.h"

#include <algorithm>
#include <optional>

namespace torchmap {
namespace {

bool contains(const std::vector<std::string>& sorted, std::string_view name) {
  return std::binary_search(sorted.begin(), sorted.end(), name);
}

// The next line without its end; false when there is none.
bool next_line(std::string_view& text, std::string_view& line) {
  if (text.empty()) return false;
  const size_t end = text.find('\n');
  line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return true;
}

bool is_octal(char c) { return c >= '0' && c <= '7'; }

// One quoted string at the start of `text`, which then starts behind it. Escapes are those of
// torch's printQuotedString: a letter, or three octal digits.
// Source: c10/util/StringUtil.h, printQuotedString (v2.13).
std::optional<std::string> take_string(std::string_view& text) {
  constexpr std::string_view kEscapes = "abfnrtv\\\"'?", kMeanings = "\a\b\f\n\r\t\v\\\"'?";
  if (text.empty() || (text[0] != '"' && text[0] != '\'')) return std::nullopt;
  const char quote = text[0];
  std::string value;
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i] == quote) {
      text.remove_prefix(i + 1);
      return value;
    }
    if (text[i] != '\\') {
      value.push_back(text[i]);
      continue;
    }
    if (++i == text.size()) return std::nullopt;
    if (const size_t escape = kEscapes.find(text[i]); escape != std::string_view::npos) {
      value.push_back(kMeanings[escape]);
      continue;
    }
    if (text.size() - i < 3 || !is_octal(text[i]) || !is_octal(text[i + 1]) ||
        !is_octal(text[i + 2])) {
      return std::nullopt;
    }
    value.push_back(
        static_cast<char>((text[i] - '0') * 64 + (text[i + 1] - '0') * 8 + (text[i + 2] - '0')));
    i += 2;
  }
  return std::nullopt;
}

void skip_blanks(std::string_view& text) {
  text.remove_prefix(std::min(text.size(), text.find_first_not_of(' ')));
}

// A list of strings such as ["weight", "bias", ], sorted.
std::optional<std::vector<std::string>> parse_list(std::string_view text) {
  std::vector<std::string> names;
  if (!text.starts_with('[')) return std::nullopt;
  text.remove_prefix(1);
  for (;;) {
    skip_blanks(text);
    if (text.starts_with(']')) break;
    auto name = take_string(text);
    if (!name) return std::nullopt;
    names.push_back(std::move(*name));
    skip_blanks(text);
    if (text.starts_with(',')) {
      text.remove_prefix(1);
    } else if (!text.starts_with(']')) {
      return std::nullopt;
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

// The name in "class Name(Module):" or "class Name:"; empty for another line.
std::string_view class_name(std::string_view line, bool& is_module) {
  constexpr std::string_view kClass = "class ";
  if (!line.starts_with(kClass)) return {};
  line.remove_prefix(kClass.size());
  const std::string_view name = line.substr(0, line.find_first_of("(:"));
  is_module = line.substr(name.size()) == "(Module):";
  return name;
}

}  // namespace

bool ScriptClass::has_parameter(std::string_view name) const { return contains(parameters, name); }
bool ScriptClass::has_buffer(std::string_view name) const { return contains(buffers, name); }

void parse_script_classes(std::string_view source,
                          const std::function<void(std::string_view, ScriptClass)>& visit) {
  struct Row {
    std::string_view start;
    std::vector<std::string> ScriptClass::*names;
  };
  constexpr Row kRows[] = {{"  __parameters__ = ", &ScriptClass::parameters},
                           {"  __buffers__ = ", &ScriptClass::buffers}};
  std::string_view name, line;
  ScriptClass found;
  bool readable = false;
  const auto finish = [&] {
    if (!name.empty() && readable) visit(name, std::move(found));
    found = {};
    readable = true;
  };
  while (next_line(source, line)) {
    if (!line.empty() && line[0] != ' ') {
      finish();
      name = class_name(line, found.is_module);
      continue;
    }
    if (name.empty()) continue;
    for (const Row& row : kRows) {
      if (!line.starts_with(row.start)) continue;
      auto names = parse_list(line.substr(row.start.size()));
      readable = readable && names.has_value();
      if (names) found.*row.names = std::move(*names);
    }
  }
  finish();
}

}  // namespace torchmap
