// Assembles pickles opcode by opcode, and shows what was read from them as Python would print it.
//
//   read(list({integer(1), text("a")}) + ".")  gives "[1, 'a']", or "BAD_PICKLE" and the like
#pragma once

#include <charconv>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "core/pickle/decoder.h"
#include "zip_bytes.h"

namespace torchmap::check {

// --- opcodes ---

inline std::string op(Opcode code, std::string_view argument = {}) {
  std::string bytes(1, static_cast<char>(code));
  return bytes += argument;
}

inline std::string repeat(std::string_view bytes, size_t times) {
  std::string out;
  out.reserve(bytes.size() * times);
  for (; times > 0; --times) out += bytes;
  return out;
}

// --- values; each pushes one ---

using Values = std::vector<std::string>;

inline std::string join(const Values& values) {
  std::string out;
  for (const std::string& value : values) out += value;
  return out;
}

inline std::string none() { return op(Opcode::kNONE); }
inline std::string boolean(bool value) { return op(value ? Opcode::kNEWTRUE : Opcode::kNEWFALSE); }
inline std::string integer(int64_t value) {
  return op(Opcode::kLONG1, "\x08" + le(static_cast<uint64_t>(value), 8));
}
inline std::string text(std::string_view value) {
  return op(Opcode::kBINUNICODE, le(value.size(), 4)) += value;
}
inline std::string bytes(std::string_view value) {
  return op(Opcode::kBINBYTES, le(value.size(), 4)) += value;
}
inline std::string tuple(const Values& items) { return "(" + join(items) + "t"; }
inline std::string list(const Values& items) { return "(" + join(items) + "l"; }
inline std::string dict(const Values& items) { return "(" + join(items) + "d"; }
inline std::string integers(std::initializer_list<int64_t> items) {
  std::string out = "(";
  for (int64_t item : items) out += integer(item);
  return out + "t";
}
inline std::string global(std::string_view module, std::string_view name) {
  return "c" + std::string(module) + "\n" + std::string(name) + "\n";
}
// "module name" called with `arguments`, a value.
inline std::string call_with(std::string_view function, const std::string& arguments) {
  const size_t space = function.find(' ');
  return global(function.substr(0, space), function.substr(space + 1)) + arguments + "R";
}
inline std::string call(std::string_view function, const Values& arguments) {
  return call_with(function, tuple(arguments));
}
inline std::string build(const std::string& object, const std::string& state) {
  return object + state + "b";
}

// --- the memo; put keeps the value on the stack ---

inline std::string put(uint32_t key) { return op(Opcode::kLONG_BINPUT, le(key, 4)); }
inline std::string get(uint32_t key) { return op(Opcode::kLONG_BINGET, le(key, 4)); }

inline std::string pickle(const std::string& value) { return "\x80\x02" + value + "."; }

// --- what was read ---

class Shown {
 public:
  Shown(const Pool& pool, NodeId root) : pool_(pool) { value(root, 0); }
  std::string text;

 private:
  void value(NodeId id, int depth) {
    if (depth > 8) {
      text += "...";
      return;
    }
    const Node& node = pool_[id];
    switch (node.tag) {
      case Tag::kNone:
        text += "None";
        return;
      case Tag::kBool:
        text += node.a != 0 ? "True" : "False";
        return;
      case Tag::kInt:
        text += std::to_string(node.integer);
        return;
      case Tag::kBigInt:
        text += (node.flags & kDecimal) != 0 ? "big " : "bytes ";
        text += node.text();
        return;
      case Tag::kFloat: {
        char digits[32];
        text.append(digits, std::to_chars(digits, digits + sizeof digits, node.real).ptr);
        return;
      }
      case Tag::kStr:
        text += (node.flags & kPython2) != 0 ? "str '" : "'";
        text += node.text();
        text += "'";
        return;
      case Tag::kBytes:
      case Tag::kByteArray:
        text += node.tag == Tag::kBytes ? "b'" : "bytearray '";
        text += node.text();
        text += "'";
        return;
      case Tag::kTuple:
      case Tag::kFrozenSet: {
        const auto items = pool_.tuple(id);
        text += node.tag == Tag::kTuple ? "" : "frozenset";
        return values("(", {items.begin(), items.end()}, ")", depth);
      }
      case Tag::kList:
        return values("[", pool_.list(Pool::items_of(node)), "]", depth);
      case Tag::kSet:
        return values("set(", pool_.list(Pool::items_of(node)), ")", depth);
      case Tag::kDict:
        return entries("{", pool_.list(Pool::items_of(node)), "}", depth);
      case Tag::kGlobal:
        text += pool_.globals[node.a].module;
        text += ".";
        text += pool_.globals[node.a].name;
        return extra(id, depth);
      case Tag::kCall: {
        static constexpr std::string_view kKinds[] = {"", "new ", "newex ", "inst ", "obj "};
        text += kKinds[node.flags];
        value(node.a, depth + 1);
        value(node.b, depth + 1);
        return extra(id, depth);
      }
      case Tag::kPersistent:
        text += "pid ";
        value(node.a, depth + 1);
        return extra(id, depth);
      case Tag::kExtension:
        text += "ext " + std::to_string(node.a);
        return extra(id, depth);
      case Tag::kTensorCall:
      case Tag::kForeign:
      case Tag::kAlias:
        text += "?";
        return;
    }
  }
  void values(std::string_view open, const std::vector<uint32_t>& items, std::string_view close,
              int depth) {
    text += open;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) text += ", ";
      value(items[i], depth + 1);
    }
    text += close;
  }
  void entries(std::string_view open, const std::vector<uint32_t>& items, std::string_view close,
               int depth) {
    text += open;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) text += i % 2 != 0 ? ": " : ", ";
      value(items[i], depth + 1);
    }
    text += close;
  }
  void extra(NodeId id, int depth) {
    const Extra& more = pool_.extra(id);
    if (more.kwargs != 0) {
      text += " **";
      value(more.kwargs, depth + 1);
    }
    if (more.states.count > 0) values(" state[", pool_.list(more.states), "]", depth);
    if (more.items.count > 0) values(" items[", pool_.list(more.items), "]", depth);
    if (more.entries.count > 0) entries(" entries{", pool_.list(more.entries), "}", depth);
  }

  const Pool& pool_;
};

// A decoded pickle and what its nodes point into.
struct Reading {
  std::string bytes;
  Pool pool;
  Result<Decoded> decoded;

  explicit Reading(std::string from, const DecodeOptions& options = {})
      : bytes(std::move(from)), decoded(decode_pickle(as_bytes(bytes), pool, options)) {}
  Reading(const Reading&) = delete;

  bool ok() const { return decoded.ok(); }
  const Failure& failure() { return decoded.status().failure(); }
  const Node& root() { return pool[decoded->root]; }
  // Calls that the pool keeps as their bytes are shown like all others.
  std::string shown() {
    for (NodeId id = 0; id < pool.nodes.size(); ++id) {
      if (pool[id].tag == Tag::kTensorCall) (void)pool.unpack(id);
    }
    return ok() ? Shown(pool, decoded->root).text : std::string(code_name(failure().code));
  }
};

inline std::string read(std::string bytes, const DecodeOptions& options = {}) {
  return Reading(std::move(bytes), options).shown();
}

}  // namespace torchmap::check
