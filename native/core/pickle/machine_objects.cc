// Globals, calls, state and persistent ids: what the pickle asks for, written down and not done.
#include "core/pickle/machine.h"
#include "core/text.h"

namespace torchmap {
namespace {

// Bytes of a module or of a name; looking names up must not cost more than the opcode that gives
// them.
constexpr size_t kMaxName = 4096;

}  // namespace

Status Machine::global(std::string_view module, std::string_view name) {
  if (module.size() > kMaxName || name.size() > kMaxName) {
    return bad("names a global longer than " + std::to_string(kMaxName) + " bytes");
  }
  if (!is_utf8(module) || !is_utf8(name)) return bad("names a global that is not UTF-8");
  push_new(Node::words(Tag::kGlobal, pool_.global(module, name, offset()), 0, 0));
  return {};
}

Status Machine::object(Opcode op) {
  switch (op) {
    case Opcode::kGLOBAL: {
      std::string_view module, name;
      TRY(line(module));
      TRY(line(name));
      return global(module, name);
    }
    case Opcode::kSTACK_GLOBAL: {
      TRY(need(2));
      const Node name = pool_[pop()], module = pool_[pop()];
      if (name.tag != Tag::kStr || module.tag != Tag::kStr)
        return bad("has a name that is no string");
      return global(module.text(), name.text());
    }
    case Opcode::kINST:
    case Opcode::kOBJ: {
      std::string_view module, name;
      if (op == Opcode::kINST) {
        TRY(line(module));
        TRY(line(name));
      }
      size_t first = 0;
      TRY(pop_mark(first));
      NodeId callable = 0;
      size_t skip = 0;
      if (op == Opcode::kINST) {
        stack_.make_room(1);
        TRY(global(module, name));
        callable = pop();
      } else {
        if (stack_.size() == first) return bad("has no class");
        callable = stack_[first];
        skip = 1;
      }
      const size_t count = stack_.size() - first - skip;
      TRY(words_room(count));
      const NodeId arguments =
          pool_.add_tuple(stack_.data() + first + skip, static_cast<uint32_t>(count));
      stack_.truncate(first);
      stack_.make_room(1);
      return call(op == Opcode::kINST ? CallKind::kInst : CallKind::kObj, callable, arguments);
    }
    case Opcode::kNEWOBJ: {
      TRY(need(2));
      const NodeId arguments = pop();
      return call(CallKind::kNewObj, pop(), arguments);
    }
    case Opcode::kNEWOBJ_EX: {
      TRY(need(3));
      const NodeId kwargs = pop(), arguments = pop();
      TRY(call(CallKind::kNewObjEx, pop(), arguments));
      pool_.make_extra(stack_.back()).kwargs = kwargs;
      return {};
    }
    case Opcode::kBUILD: {
      TRY(need(2));
      const NodeId state = pop();
      if (pool_[stack_.back()].tag < Tag::kGlobal)
        return bad("gives state to a value that is no object");
      TRY(words_room(3));
      pool_.append(pool_.make_extra(stack_.back()).states, &state, 1);
      return {};
    }
    case Opcode::kPERSID: {
      std::string_view id;
      TRY(line(id));
      if (!is_ascii(id)) return bad("holds an id that is not ASCII");
      const NodeId text = pool_.add(Node::of_text(Tag::kStr, id));
      push_new(Node::words(Tag::kPersistent, text, 0, 0));
      return {};
    }
    default: {  // EXT1, EXT2, EXT4
      uint8_t code1 = 0;
      uint16_t code2 = 0;
      int32_t code = 0;
      if (op == Opcode::kEXT1) {
        TRY(read(code1));
        code = code1;
      } else if (op == Opcode::kEXT2) {
        TRY(read(code2));
        code = code2;
      } else {
        TRY(read(code));
      }
      if (code <= 0) return bad("has code " + std::to_string(code) + ", which is not positive");
      push_new(Node::words(Tag::kExtension, static_cast<uint32_t>(code), 0, 0));
      return {};
    }
  }
}

}  // namespace torchmap
