#include "core/pickle/decoder.h"

#include <bit>
#include <cstdio>

#include "core/pickle/literals.h"
#include "core/pickle/memo.h"
#include "core/text.h"

namespace torchmap {

std::string_view opcode_name(uint8_t byte) {
  switch (byte) {
#define OPCODE(name, value, argument) \
  case static_cast<uint8_t>(value):   \
    return #name;
#include "core/pickle/opcodes.def"
#undef OPCODE
    default:
      return {};
  }
}

namespace {

// No opcode makes more nodes than this (INST: global, arguments, call).
constexpr size_t kNodesPerOpcode = 4;
// Opcodes between two looks at the limits and at the caller's wish to stop.
constexpr uint64_t kPollInterval = 4096;

class Machine {
 public:
  Machine(ByteSpan bytes, Pool& pool, const DecodeOptions& options)
      : start_(bytes.data()), at_(start_), end_(start_ + bytes.size()), pool_(pool), options_(options) {}

  Result<Decoded> run();

 private:
  Status step(Opcode op);
  Status poll();
  Status number(Opcode op);
  Status text(Opcode op);
  Status container(Opcode op);
  Status memo(Opcode op);
  Status object(Opcode op);
  Status control(Opcode op);

  // --- bytes ---
  size_t left() const { return static_cast<size_t>(end_ - at_); }
  template <typename T>
  Status read(T& value) {
    if (sizeof(T) > left()) return truncated(sizeof(T));
    value = load_le<T>(at_);
    at_ += sizeof(T);
    return {};
  }
  Status take(uint64_t count, std::string_view& out) {
    if (count > left()) return truncated(count);
    out = {reinterpret_cast<const char*>(at_), static_cast<size_t>(count)};
    at_ += count;
    return {};
  }
  Status line(std::string_view& out) {
    const void* found = left() == 0 ? nullptr : std::memchr(at_, '\n', left());
    if (found == nullptr) return truncated(1);
    const auto* stop = static_cast<const std::byte*>(found);
    out = {reinterpret_cast<const char*>(at_), static_cast<size_t>(stop - at_)};
    at_ = stop + 1;
    return {};
  }
  Status counted(Opcode op, std::string_view& out);

  // --- stack ---
  void push(NodeId id) { stack_.push_unchecked(id); }
  void push_new(const Node& node) {
    pool_.nodes.push_unchecked(node);
    push(static_cast<NodeId>(pool_.nodes.size() - 1));
  }
  size_t depth() const { return stack_.size() - fence_; }
  Status need(size_t count) {
    if (depth() < count) return bad("needs " + std::to_string(count) + " values but the stack holds " + std::to_string(depth()));
    return {};
  }
  NodeId pop() {
    const NodeId id = stack_.back();
    stack_.truncate(stack_.size() - 1);
    return id;
  }
  Status pop_mark(size_t& first) {
    if (marks_.empty()) return bad("needs a mark and there is none");
    first = marks_.back();
    marks_.truncate(marks_.size() - 1);
    fence_ = marks_.empty() ? 0 : marks_.back();
    return {};
  }

  // --- values ---
  Status add_to_list(NodeId target, const NodeId* values, size_t count);
  Status add_to_dict(NodeId target, const NodeId* values, size_t count);
  Status call(CallKind kind, NodeId callable, NodeId arguments);
  Status global(std::string_view module, std::string_view name);
  Status words_room(size_t count);

  // --- failures ---
  uint64_t offset() const { return options_.base_offset + static_cast<uint64_t>(opcode_at_ - start_); }
  std::string op_name() const { return std::string(opcode_name(std::to_integer<uint8_t>(*opcode_at_))); }
  Status bad(const std::string& what) {
    return Status(Code::kBadPickle, "pickle opcode " + op_name() + " " + what).at(offset());
  }
  Status truncated(uint64_t count) {
    return Status(Code::kTruncated, "the pickle ends inside opcode " + op_name() + ", which needs " + std::to_string(count) +
                                        " more bytes where " + std::to_string(left()) + " are left")
        .at(offset());
  }

  const std::byte* start_;
  const std::byte* at_;
  const std::byte* end_;
  const std::byte* opcode_at_ = nullptr;
  const std::byte* frame_end_ = nullptr;
  Pool& pool_;
  const DecodeOptions& options_;
  Buffer<NodeId> stack_;
  Buffer<size_t> marks_;
  size_t fence_ = 0;  // stack position of the innermost mark: nothing below it may be popped
  Memo memo_;
  Decoded decoded_;
  bool stopped_ = false;
};

Result<Decoded> Machine::run() {
  uint64_t until_poll = 0;
  while (!stopped_) {
    if (at_ == end_) {
      return Status(Code::kTruncated, "the pickle ends after " + std::to_string(at_ - start_) + " bytes without STOP")
          .at(options_.base_offset + static_cast<uint64_t>(at_ - start_));
    }
    opcode_at_ = at_;
    if (until_poll-- == 0) {
      until_poll = kPollInterval - 1;
      TRY(poll());
    }
    if (pool_.nodes.room() < kNodesPerOpcode || stack_.room() == 0) {
      if (pool_.nodes.size() >= options_.limits.nodes) {
        return limit_reached(Code::kLimitNodes, "nodes", options_.limits.nodes, pool_.nodes.size() + 1).at(offset());
      }
      pool_.nodes.make_room(kNodesPerOpcode);
      stack_.make_room(1);
    }
    if (frame_end_ != nullptr && at_ >= frame_end_) {
      if (at_ > frame_end_) return bad("begins behind the end of its frame");
      frame_end_ = nullptr;
    }
    ++at_;
    TRY(step(static_cast<Opcode>(*opcode_at_)));
  }
  decoded_.consumed = static_cast<size_t>(at_ - start_);
  return decoded_;
}

Status Machine::poll() {
  decoded_.opcodes += kPollInterval;
  if (decoded_.opcodes > options_.limits.opcodes + kPollInterval) {
    return limit_reached(Code::kLimitOpcodes, "opcodes", options_.limits.opcodes, decoded_.opcodes).at(offset());
  }
  if (pool_.nodes.size() > options_.limits.nodes) {
    return limit_reached(Code::kLimitNodes, "nodes", options_.limits.nodes, pool_.nodes.size()).at(offset());
  }
  if (memo_.size() > options_.limits.memo) {
    return limit_reached(Code::kLimitMemo, "memo", options_.limits.memo, memo_.size()).at(offset());
  }
  if (options_.cancelled != nullptr && options_.cancelled->load(std::memory_order_relaxed)) {
    return Status(Code::kCancelled, "the caller asked to stop");
  }
  return {};
}

// The commonest opcodes of a checkpoint stand here; the others in groups below.
Status Machine::step(Opcode op) {
  switch (op) {
    case Opcode::kBININT1: {
      uint8_t value = 0;
      TRY(read(value));
      push(Pool::kSmallInt + value);
      return {};
    }
    case Opcode::kBINGET: {
      uint8_t key = 0;
      TRY(read(key));
      const NodeId found = memo_.get(key);
      if (found == Memo::kMissing) return bad("reads memo " + std::to_string(key) + ", which is not set");
      push(found);
      return {};
    }
    case Opcode::kLONG_BINGET: {
      uint32_t key = 0;
      TRY(read(key));
      const NodeId found = memo_.get(key);
      if (found == Memo::kMissing) return bad("reads memo " + std::to_string(key) + ", which is not set");
      push(found);
      return {};
    }
    case Opcode::kBINPUT: {
      uint8_t key = 0;
      TRY(read(key));
      TRY(need(1));
      memo_.put(key, stack_.back());
      return {};
    }
    case Opcode::kLONG_BINPUT: {
      uint32_t key = 0;
      TRY(read(key));
      TRY(need(1));
      memo_.put(key, stack_.back());
      return {};
    }
    case Opcode::kMARK:
      marks_.push(stack_.size());
      fence_ = stack_.size();
      return {};
    case Opcode::kTUPLE1:
    case Opcode::kTUPLE2:
    case Opcode::kTUPLE3: {
      const auto count = static_cast<uint32_t>(op) - static_cast<uint32_t>(Opcode::kTUPLE1) + 1;
      TRY(need(count));
      TRY(words_room(count));
      const NodeId tuple = pool_.add_tuple(stack_.data() + stack_.size() - count, count);
      stack_.truncate(stack_.size() - count);
      push(tuple);
      return {};
    }
    case Opcode::kTUPLE:
    case Opcode::kFROZENSET: {
      size_t first = 0;
      TRY(pop_mark(first));
      const size_t count = stack_.size() - first;
      TRY(words_room(count));
      const NodeId tuple = pool_.add_tuple(stack_.data() + first, static_cast<uint32_t>(count),
                                           op == Opcode::kTUPLE ? Tag::kTuple : Tag::kFrozenSet);
      stack_.truncate(first);
      push(tuple);
      return {};
    }
    case Opcode::kNONE:
      push(Pool::kNoneNode);
      return {};
    case Opcode::kNEWTRUE:
      push(Pool::kTrueNode);
      return {};
    case Opcode::kNEWFALSE:
      push(Pool::kFalseNode);
      return {};
    case Opcode::kEMPTY_TUPLE:
      push(Pool::kEmptyTuple);
      return {};
    case Opcode::kREDUCE: {
      TRY(need(2));
      const NodeId arguments = pop();
      return call(CallKind::kReduce, pop(), arguments);
    }
    case Opcode::kBINPERSID: {
      TRY(need(1));
      const NodeId id = pop();
      push_new(Node::words(Tag::kPersistent, id, 0, 0));
      return {};
    }
    case Opcode::kBININT:
    case Opcode::kBININT2:
    case Opcode::kLONG1:
    case Opcode::kLONG4:
    case Opcode::kINT:
    case Opcode::kLONG:
    case Opcode::kFLOAT:
    case Opcode::kBINFLOAT:
      return number(op);
    case Opcode::kSTRING:
    case Opcode::kBINSTRING:
    case Opcode::kSHORT_BINSTRING:
    case Opcode::kBINBYTES:
    case Opcode::kSHORT_BINBYTES:
    case Opcode::kBINBYTES8:
    case Opcode::kBYTEARRAY8:
    case Opcode::kUNICODE:
    case Opcode::kSHORT_BINUNICODE:
    case Opcode::kBINUNICODE:
    case Opcode::kBINUNICODE8:
      return text(op);
    case Opcode::kEMPTY_LIST:
    case Opcode::kEMPTY_DICT:
    case Opcode::kEMPTY_SET:
    case Opcode::kLIST:
    case Opcode::kDICT:
    case Opcode::kAPPEND:
    case Opcode::kAPPENDS:
    case Opcode::kADDITEMS:
    case Opcode::kSETITEM:
    case Opcode::kSETITEMS:
      return container(op);
    case Opcode::kPUT:
    case Opcode::kGET:
    case Opcode::kMEMOIZE:
      return memo(op);
    case Opcode::kGLOBAL:
    case Opcode::kSTACK_GLOBAL:
    case Opcode::kINST:
    case Opcode::kOBJ:
    case Opcode::kNEWOBJ:
    case Opcode::kNEWOBJ_EX:
    case Opcode::kBUILD:
    case Opcode::kPERSID:
    case Opcode::kEXT1:
    case Opcode::kEXT2:
    case Opcode::kEXT4:
      return object(op);
    case Opcode::kPROTO:
    case Opcode::kSTOP:
    case Opcode::kFRAME:
    case Opcode::kPOP:
    case Opcode::kPOP_MARK:
    case Opcode::kDUP:
    case Opcode::kNEXT_BUFFER:
    case Opcode::kREADONLY_BUFFER:
      return control(op);
  }
  char hex[8];
  std::snprintf(hex, sizeof hex, "0x%02x", static_cast<unsigned>(op));
  return Status(Code::kBadPickle, std::string("byte ") + hex + " is no pickle opcode").at(offset());
}

Status Machine::number(Opcode op) {
  switch (op) {
    case Opcode::kBININT2: {
      uint16_t value = 0;
      TRY(read(value));
      push_new(Node::of_integer(value));
      return {};
    }
    case Opcode::kBININT: {
      int32_t value = 0;
      TRY(read(value));
      push_new(Node::of_integer(value));
      return {};
    }
    case Opcode::kBINFLOAT: {
      uint64_t bits = 0;
      TRY(read(bits));
      push_new(Node::of_real(std::bit_cast<double>(__builtin_bswap64(bits))));
      return {};
    }
    case Opcode::kFLOAT: {
      std::string_view digits;
      TRY(line(digits));
      const auto value = parse_real(digits);
      if (!value) return bad("holds no number");
      push_new(Node::of_real(*value));
      return {};
    }
    case Opcode::kINT:
    case Opcode::kLONG: {
      std::string_view digits;
      TRY(line(digits));
      const auto value = parse_integer(digits, op == Opcode::kINT);
      if (!value) return bad("holds no integer of at most " + std::to_string(kMaxIntegerDigits) + " digits");
      if (value->tag == Tag::kBool) {
        push(value->a != 0 ? Pool::kTrueNode : Pool::kFalseNode);
      } else {
        push_new(*value);
      }
      return {};
    }
    default: {  // LONG1, LONG4
      uint64_t length = 0;
      if (op == Opcode::kLONG1) {
        uint8_t short_length = 0;
        TRY(read(short_length));
        length = short_length;
      } else {
        int32_t long_length = 0;
        TRY(read(long_length));
        if (long_length < 0) return bad("has a negative length");
        length = static_cast<uint64_t>(long_length);
      }
      std::string_view digits;
      TRY(take(length, digits));
      if (length > 8) {
        push_new(Node::of_text(Tag::kBigInt, digits));
        return {};
      }
      uint64_t value = length > 0 && (digits.back() & 0x80) != 0 ? ~uint64_t{0} : 0;
      for (size_t i = digits.size(); i-- > 0;) value = value << 8 | static_cast<uint8_t>(digits[i]);
      push_new(Node::of_integer(static_cast<int64_t>(value)));
      return {};
    }
  }
}

// Reads the length that `op` is followed by, and as many bytes.
Status Machine::counted(Opcode op, std::string_view& out) {
  switch (op) {
    case Opcode::kSHORT_BINUNICODE:
    case Opcode::kSHORT_BINSTRING:
    case Opcode::kSHORT_BINBYTES: {
      uint8_t length = 0;
      TRY(read(length));
      return take(length, out);
    }
    case Opcode::kBINUNICODE:
    case Opcode::kBINBYTES: {
      uint32_t length = 0;
      TRY(read(length));
      return take(length, out);
    }
    case Opcode::kBINSTRING: {
      int32_t length = 0;
      TRY(read(length));
      if (length < 0) return bad("has a negative length");
      return take(static_cast<uint64_t>(length), out);
    }
    default: {
      uint64_t length = 0;
      TRY(read(length));
      return take(length, out);
    }
  }
}

Status Machine::text(Opcode op) {
  std::string_view value;
  if (op == Opcode::kSTRING || op == Opcode::kUNICODE) {
    TRY(line(value));
    auto parsed = op == Opcode::kSTRING ? parse_quoted(value) : parse_raw_unicode(value);
    if (!parsed) return bad("holds a malformed literal");
    value = pool_.keep(std::move(*parsed));
  } else {
    TRY(counted(op, value));
  }
  switch (op) {
    case Opcode::kBINBYTES:
    case Opcode::kSHORT_BINBYTES:
    case Opcode::kBINBYTES8:
      push_new(Node::of_text(Tag::kBytes, value));
      return {};
    case Opcode::kBYTEARRAY8:
      push_new(Node::of_text(Tag::kByteArray, value));
      return {};
    default:
      break;
  }
  if (value.size() > options_.limits.string) {
    return limit_reached(Code::kLimitString, "string", options_.limits.string, value.size()).at(offset());
  }
  const bool python2 = op == Opcode::kSTRING || op == Opcode::kBINSTRING || op == Opcode::kSHORT_BINSTRING;
  if (!python2 && !is_utf8(value)) return bad("holds text that is not UTF-8");
  push_new(Node::of_text(Tag::kStr, value, python2 ? kPython2 : 0));
  return {};
}

Status Machine::words_room(size_t count) {
  if (count > UINT32_MAX - 16 - pool_.words.size()) {
    return limit_reached(Code::kLimitNodes, "nodes", options_.limits.nodes, pool_.words.size() + count).at(offset());
  }
  return {};
}

Status Machine::add_to_list(NodeId target, const NodeId* values, size_t count) {
  TRY(words_room(count + 2));
  Node& node = pool_[target];
  if (node.tag == Tag::kList || node.tag == Tag::kSet) {
    Items items = Pool::items_of(node);
    pool_.append(items, values, static_cast<uint32_t>(count));
    node.a = items.count;
    node.b = items.first;
    node.c = items.last;
    return {};
  }
  if (node.tag < Tag::kGlobal) return bad("adds to a value that is neither a list nor a set");
  pool_.append(pool_.make_extra(target).items, values, static_cast<uint32_t>(count));
  return {};
}

Status Machine::add_to_dict(NodeId target, const NodeId* values, size_t count) {
  if (count % 2 != 0) return bad("has a key without a value");
  TRY(words_room(count + 2));
  for (size_t i = 0; i < count; i += 2) {
    const Tag key = pool_[values[i]].tag;
    if (key == Tag::kList || key == Tag::kDict || key == Tag::kSet || key == Tag::kByteArray) {
      return bad("has a key that cannot be hashed");
    }
  }
  Node& node = pool_[target];
  if (node.tag == Tag::kDict) {
    Items items = Pool::items_of(node);
    pool_.append(items, values, static_cast<uint32_t>(count));
    node.a = items.count;
    node.b = items.first;
    node.c = items.last;
    return {};
  }
  if (node.tag < Tag::kGlobal) return bad("sets items of a value that is no dict");
  pool_.append(pool_.make_extra(target).entries, values, static_cast<uint32_t>(count));
  return {};
}

Status Machine::container(Opcode op) {
  switch (op) {
    case Opcode::kEMPTY_LIST:
      push_new(Node::words(Tag::kList, 0, 0, 0));
      return {};
    case Opcode::kEMPTY_DICT:
      push_new(Node::words(Tag::kDict, 0, 0, 0));
      return {};
    case Opcode::kEMPTY_SET:
      push_new(Node::words(Tag::kSet, 0, 0, 0));
      return {};
    case Opcode::kAPPEND: {
      TRY(need(2));
      const NodeId value = pop();
      return add_to_list(stack_.back(), &value, 1);
    }
    case Opcode::kSETITEM: {
      TRY(need(3));
      const NodeId pair[2] = {stack_[stack_.size() - 2], stack_.back()};
      stack_.truncate(stack_.size() - 2);
      return add_to_dict(stack_.back(), pair, 2);
    }
    default:
      break;
  }
  size_t first = 0;
  TRY(pop_mark(first));
  const size_t count = stack_.size() - first;
  const NodeId* values = stack_.data() + first;
  if (op == Opcode::kLIST || op == Opcode::kDICT) {
    const NodeId made = pool_.add(Node::words(op == Opcode::kLIST ? Tag::kList : Tag::kDict, 0, 0, 0));
    TRY(op == Opcode::kLIST ? add_to_list(made, values, count) : add_to_dict(made, values, count));
    stack_.truncate(first);
    stack_.push(made);  // nothing was popped when the mark was on top, so room is not a given
    return {};
  }
  if (first <= fence_) return bad("needs a container below its mark");
  const NodeId target = stack_[first - 1];
  TRY(op == Opcode::kSETITEMS ? add_to_dict(target, values, count) : add_to_list(target, values, count));
  stack_.truncate(first);
  return {};
}

Status Machine::memo(Opcode op) {
  uint64_t key = memo_.size();
  if (op != Opcode::kMEMOIZE) {
    std::string_view digits;
    TRY(line(digits));
    const auto parsed = parse_unsigned(digits);
    if (!parsed) return bad("has no memo key");
    key = *parsed;
  }
  if (op == Opcode::kGET) {
    const NodeId found = memo_.get(key);
    if (found == Memo::kMissing) return bad("reads memo " + std::to_string(key) + ", which is not set");
    push(found);
    return {};
  }
  TRY(need(1));
  memo_.put(key, stack_.back());
  return {};
}

Status Machine::global(std::string_view module, std::string_view name) {
  if (!is_utf8(module) || !is_utf8(name)) return bad("names a global that is not UTF-8");
  push_new(Node::words(Tag::kGlobal, pool_.global(module, name, offset()), 0, 0));
  return {};
}

Status Machine::call(CallKind kind, NodeId callable, NodeId arguments) {
  if (pool_[callable].tag < Tag::kGlobal) return bad("calls a value that is no global");
  const Tag tag = pool_[arguments].tag;
  if (tag != Tag::kTuple && tag < Tag::kGlobal) return bad("has arguments that are no tuple");
  push_new(Node::words(Tag::kCall, callable, arguments, 0, static_cast<uint8_t>(kind)));
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
      if (name.tag != Tag::kStr || module.tag != Tag::kStr) return bad("has a name that is no string");
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
      const NodeId arguments = pool_.add_tuple(stack_.data() + first + skip, static_cast<uint32_t>(count));
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
      if (pool_[stack_.back()].tag < Tag::kGlobal) return bad("gives state to a value that is no object");
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

Status Machine::control(Opcode op) {
  switch (op) {
    case Opcode::kPROTO: {
      uint8_t protocol = 0;
      TRY(read(protocol));
      if (protocol > 5) return bad("announces protocol " + std::to_string(protocol) + "; 5 is the last one");
      decoded_.protocol = protocol;
      return {};
    }
    case Opcode::kFRAME: {
      uint64_t length = 0;
      TRY(read(length));
      if (frame_end_ != nullptr && at_ < frame_end_) return bad("opens a frame inside a frame");
      if (length > left()) return truncated(length);
      frame_end_ = at_ + length;
      return {};
    }
    case Opcode::kSTOP:
      TRY(need(1));
      decoded_.root = stack_.back();
      stopped_ = true;
      return {};
    case Opcode::kDUP:
      TRY(need(1));
      push(stack_.back());
      return {};
    case Opcode::kPOP:
      if (depth() > 0) {
        pop();
        return {};
      }
      [[fallthrough]];
    case Opcode::kPOP_MARK: {
      size_t first = 0;
      TRY(pop_mark(first));
      stack_.truncate(first);
      return {};
    }
    default:
      return Status(Code::kUnsupportedOpcode, "pickle opcode " + op_name() + " refers to a buffer that is kept outside the pickle")
          .at(offset())
          .about(op_name());
  }
}

}  // namespace

Result<Decoded> decode_pickle(ByteSpan bytes, Pool& pool, const DecodeOptions& options) {
  return Machine(bytes, pool, options).run();
}

}  // namespace torchmap
