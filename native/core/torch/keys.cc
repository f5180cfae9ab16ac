// Dict keys as parts of names.
#include <charconv>

#include "core/text.h"
#include "core/torch/walk.h"

namespace torchmap {
namespace {

constexpr int kMaxKeyDepth = 4;         // tuples inside tuples
constexpr size_t kMaxTupleText = 1024;  // bytes of a tuple's items; the rest is cut off

// Python's repr of a float: shortest digits, always with a point or an exponent.
void append_real(std::string& out, double value) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  const std::string_view text(digits, static_cast<size_t>(end - digits));
  out += text;
  if (text.find_first_of(".en") == std::string_view::npos) out += ".0";
}

void append(std::string& out, Interpreter& interpreter, NodeId id, uint32_t position, int depth,
            size_t start) {
  Pool& pool = interpreter.pool();
  (void)interpreter.resolve(id);  // what cannot be resolved is named by its position
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
      if ((node.flags & kPython2) != 0 && !is_utf8(text)) {
        out += latin1_to_utf8(text);
      } else {
        out += text;
      }
      return;
    }
    case Tag::kBytes:
      out += latin1_to_utf8(node.text());
      return;
    case Tag::kTuple: {
      if (depth == kMaxKeyDepth) {
        out += "(...)";
        return;
      }
      out += "(";
      const std::vector<uint32_t> items = interpreter.first_items(id, kMaxTupleText);
      for (size_t i = 0; i < items.size(); ++i) {
        if (i > 0) out += ", ";
        if (out.size() - start > kMaxTupleText) {
          out += "...";
          break;
        }
        append(out, interpreter, items[i], static_cast<uint32_t>(i), depth + 1, start);
      }
      out += ")";
      return;
    }
    case Tag::kGlobal:
      out += pool.globals[node.a].module;
      out += ".";
      out += pool.globals[node.a].name;
      return;
    default:
      out += '#';
      out += std::to_string(position);
  }
}

}  // namespace

void append_key(std::string& out, Interpreter& interpreter, NodeId key, uint32_t position) {
  append(out, interpreter, key, position, 0, out.size());
}

}  // namespace torchmap
