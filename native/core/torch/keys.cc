// Dict keys as parts of names.
#include <charconv>

#include "core/text.h"
#include "core/torch/walk.h"

namespace torchmap {
namespace {

constexpr int kMaxKeyDepth = 4;  // tuples inside tuples

void append_quoted(std::string& out, std::string_view text) {
  const char quote = text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos ? '"' : '\'';
  out.push_back(quote);
  for (char c : text) {
    if (c == quote || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  out.push_back(quote);
}

// Python's repr of a float: shortest digits, always with a point or an exponent.
void append_real(std::string& out, double value) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  const std::string_view text(digits, static_cast<size_t>(end - digits));
  out += text;
  if (text.find_first_of(".en") == std::string_view::npos) out += ".0";
}

void append(std::string& out, Interpreter& interpreter, NodeId id, int depth, bool quoted) {
  Pool& pool = interpreter.pool();
  if (!interpreter.resolve(id).ok()) out += "?";
  id = interpreter.target(id);
  const Node& node = pool[id];
  switch (node.tag) {
    case Tag::kNone:
      out += "None";
      return;
    case Tag::kBool:
      out += node.a != 0 ? "True" : "False";
      return;
    case Tag::kInt:
      out += std::to_string(node.integer);
      return;
    case Tag::kFloat:
      append_real(out, node.real);
      return;
    case Tag::kStr: {
      const std::string_view text = node.text();
      const std::string latin = (node.flags & kPython2) != 0 && !is_utf8(text) ? latin1_to_utf8(text) : std::string();
      if (quoted) {
        append_quoted(out, latin.empty() ? text : latin);
      } else {
        out += latin.empty() ? text : latin;
      }
      return;
    }
    case Tag::kBytes:
      out += "b";
      append_quoted(out, latin1_to_utf8(node.text()));
      return;
    case Tag::kTuple: {
      if (depth == kMaxKeyDepth) {
        out += "(...)";
        return;
      }
      out += "(";
      const std::vector<uint32_t> items(pool.tuple(id).begin(), pool.tuple(id).end());
      for (size_t i = 0; i < items.size(); ++i) {
        if (i > 0) out += ", ";
        append(out, interpreter, items[i], depth + 1, true);
      }
      out += items.size() == 1 ? ",)" : ")";
      return;
    }
    case Tag::kGlobal:
      out += pool.globals[node.a].module;
      out += ".";
      out += pool.globals[node.a].name;
      return;
    default:
      out += "<key>";
  }
}

}  // namespace

void append_key(std::string& out, Interpreter& interpreter, NodeId key) { append(out, interpreter, key, 0, false); }

}  // namespace torchmap
