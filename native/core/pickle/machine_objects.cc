// Globals, calls, state and persistent ids: what the pickle asks for, written down and not done.
#include <algorithm>

#include "core/pickle/machine.h"
#include "core/pickle/tensor_call.h"
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

Status Machine::computed_global(NodeId module, NodeId name) {
  TRY(words_room(2));
  const NodeId names[] = {module, name};
  const NodeId arguments = pool_.add_tuple(names, 2);
  TRY(global(kComputedModule, kComputedName));
  return call(CallKind::kReduce, pop(), arguments);
}

// Takes the call that begins at this opcode, of the function on top of the stack, in one step where
// it can be kept as its bytes. Nothing has happened when the answer is no.
bool Machine::tensor_call() {
  if (depth() == 0 || frame_end_ != nullptr) return false;
  const NodeId function = stack_.back();
  TensorCall call;
  if (pool_[function].tag != Tag::kGlobal || !read_tensor_call(opcode_at_, end_, call))
    return false;
  const auto known = [&](uint32_t key, Tag wanted, NodeId& node) {
    node = memo_.get(key);
    return node != Memo::kMissing && pool_[node].tag == wanted;
  };
  const auto offset = static_cast<uint64_t>(opcode_at_ - start_);
  TensorContext context{start_, function, 0, 0, 0, 0};
  if (!known(call.word, Tag::kStr, context.word) || !known(call.type, Tag::kGlobal, context.type) ||
      !known(call.location, Tag::kStr, context.location) ||
      !known(call.hooks, Tag::kGlobal, context.hooks) || offset > UINT32_MAX ||
      call.key.size() > options_.limits.string || !is_utf8(call.key)) {
    return false;
  }
  // A key that is written before it is read would not be the one that was read here.
  const auto written = [&](uint32_t key) { return key - call.first_put < call.put_count; };
  if (written(call.location) || written(call.hooks)) return false;

  const auto same = [&](const TensorContext& other) {
    return other.start == start_ && other.function == function && other.word == context.word &&
           other.type == context.type && other.location == context.location &&
           other.hooks == context.hooks;
  };
  constexpr size_t kLookBack = 8;
  size_t index = pool_.contexts.size();
  for (size_t i = 1; i <= std::min(kLookBack, pool_.contexts.size()); ++i) {
    if (!same(pool_.contexts[pool_.contexts.size() - i])) continue;
    index = pool_.contexts.size() - i;
    break;
  }
  if (index == pool_.contexts.size()) pool_.contexts.push(context);
  pool_.nodes.push_unchecked(Node::words(Tag::kTensorCall, static_cast<uint32_t>(offset),
                                         static_cast<uint32_t>(index), 0));
  const auto node = static_cast<NodeId>(pool_.nodes.size() - 1);
  memo_.put_range(call.first_put, call.put_count, node);
  last_call_ = node;
  last_put_ = call.first_put;
  last_put_count_ = call.put_count;
  stack_.back() = node;
  at_ = call.end;
  decoded_.opcodes += call.opcodes - 1;
  return true;
}

Status Machine::get_inside(uint64_t key, NodeId found) {
  const TensorCall call = pool_.tensor_call(found);
  if (key - call.first_put >= call.put_count) return {};
  TRY(unpack(found));
  stack_.back() = memo_.get(key);
  return {};
}

Status Machine::put_tensor(uint64_t key, NodeId call) {
  const TensorCall written = pool_.tensor_call(call);
  return key - written.first_put < written.put_count ? unpack(call) : Status();
}

Status Machine::unpack(NodeId call) {
  const uint64_t first = pool_.tensor_call(call).first_put;
  const auto made = pool_.unpack(call);
  if (!made) return too_many_words(64);
  for (uint32_t i = 0; i < made->count; ++i) {
    // Unless something else was put there since.
    if (memo_.get(first + i) == call) memo_.put(first + i, made->nodes[i]);
  }
  pool_.nodes.make_room(8);
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
      const NodeId name = pop(), module = pop();
      if (pool_[name].tag != Tag::kStr || pool_[module].tag != Tag::kStr) {
        TRY(odd("has a name that is no string"));
        return computed_global(module, name);
      }
      return global(pool_[module].text(), pool_[name].text());
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
        return odd("gives state to a value that is no object");
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
