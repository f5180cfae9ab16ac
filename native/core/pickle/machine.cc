#include "core/pickle/machine.h"

#include <algorithm>

#include "core/pickle/literals.h"
#include "core/text.h"

namespace torchmap {
namespace {

// No opcode makes more nodes than this (INST: global, arguments, call).
constexpr size_t kNodesPerOpcode = 4;
// Node ids have 32 bits.
constexpr uint64_t kMostNodes = UINT32_MAX - 1024;
// Opcodes between two looks at the limits and at the caller's wish to stop.
constexpr uint64_t kPollInterval = 4096;
// Bytes of a pickle for each node, word and key of the memo that is reserved before it is decoded,
// fewer than real checkpoints have; and the most that is reserved, since a pickle can be one long
// text.
constexpr size_t kBytesPerNode = 12, kBytesPerWord = 8, kBytesPerKey = 12;
constexpr size_t kMostReserved = size_t{1} << 21;

}  // namespace

Result<Decoded> Machine::run() {
  pool_.nodes.make_room(std::min(left() / kBytesPerNode, kMostReserved));
  pool_.words.make_room(std::min(left() / kBytesPerWord, kMostReserved));
  memo_.make_room(std::min(left() / kBytesPerKey, kMostReserved));
  uint64_t until_poll = 0;
  while (!stopped_) {
    if (at_ == end_) {
      return Status(Code::kTruncated,
                    "the pickle ends after " + std::to_string(at_ - start_) + " bytes without STOP")
          .at(options_.base_offset + static_cast<uint64_t>(at_ - start_));
    }
    opcode_at_ = at_;
    if (until_poll-- == 0) {
      until_poll = kPollInterval - 1;
      TRY(poll());
    }
    if (pool_.nodes.room() < kNodesPerOpcode || stack_.room() == 0) {
      if (pool_.nodes.size() >= std::min(options_.limits.nodes, kMostNodes)) {
        return limit_reached(Code::kLimitNodes, "nodes", options_.limits.nodes,
                             pool_.nodes.size() + 1)
            .at(offset());
      }
      pool_.nodes.make_room(kNodesPerOpcode);
      stack_.make_room(1);
    }
    if (frame_end_ != nullptr && at_ >= frame_end_) {
      if (at_ > frame_end_) TRY(odd("begins behind the end of its frame"));
      frame_end_ = nullptr;
    }
    ++at_;
    TRY(step(static_cast<Opcode>(*opcode_at_)));
  }
  decoded_.consumed = static_cast<size_t>(at_ - start_);
  pool_.pickle_bytes += decoded_.consumed;
  return decoded_;
}

Status Machine::poll() {
  decoded_.opcodes += kPollInterval;
  if (decoded_.opcodes - kPollInterval > options_.limits.opcodes) {
    return limit_reached(Code::kLimitOpcodes, "opcodes", options_.limits.opcodes, decoded_.opcodes)
        .at(offset());
  }
  if (pool_.nodes.size() > options_.limits.nodes) {
    return limit_reached(Code::kLimitNodes, "nodes", options_.limits.nodes, pool_.nodes.size())
        .at(offset());
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
[[gnu::always_inline]] inline Status Machine::step(Opcode op) {
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
      return get(key);
    }
    case Opcode::kLONG_BINGET: {
      uint32_t key = 0;
      TRY(read(key));
      return get(key);
    }
    case Opcode::kBINPUT: {
      uint8_t key = 0;
      TRY(read(key));
      return put(key);
    }
    case Opcode::kLONG_BINPUT: {
      uint32_t key = 0;
      TRY(read(key));
      return put(key);
    }
    case Opcode::kMARK:
      if (at_ != end_ && static_cast<Opcode>(*at_) == Opcode::kMARK && tensor_call()) return {};
      marks_.push(stack_.size());
      fence_ = stack_.size();
      return {};
    case Opcode::kTUPLE1:
    case Opcode::kTUPLE2:
    case Opcode::kTUPLE3: {
      const auto count = static_cast<uint32_t>(op) - static_cast<uint32_t>(Opcode::kTUPLE1) + 1;
      TRY(need(count));
      TRY(push_tuple(stack_.data() + stack_.size() - count, count, Tag::kTuple));
      stack_.truncate(stack_.size() - count);
      push(static_cast<NodeId>(pool_.nodes.size() - 1));
      return {};
    }
    case Opcode::kTUPLE:
    case Opcode::kFROZENSET: {
      size_t first = 0;
      TRY(pop_mark(first));
      const size_t count = stack_.size() - first;
      TRY(push_tuple(stack_.data() + first, count,
                     op == Opcode::kTUPLE ? Tag::kTuple : Tag::kFrozenSet));
      stack_.truncate(first);
      push(static_cast<NodeId>(pool_.nodes.size() - 1));
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
    case Opcode::kSHORT_BINUNICODE: {
      uint8_t length = 0;
      TRY(read(length));
      return unicode(length);
    }
    case Opcode::kBINUNICODE: {
      uint32_t length = 0;
      TRY(read(length));
      return unicode(length);
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
  return no_opcode();
}

Status Machine::unicode(uint64_t length) {
  std::string_view value;
  TRY(take(length, value));
  if (value.size() > options_.limits.string) {
    return limit_reached(Code::kLimitString, "string", options_.limits.string, value.size())
        .at(offset());
  }
  if (!is_utf8(value)) return bad("holds text that is not UTF-8");
  push_new(Node::of_text(Tag::kStr, value));
  return {};
}

Status Machine::call(CallKind kind, NodeId callable, NodeId arguments) {
  if (pool_[callable].tag < Tag::kGlobal) return bad("calls a value that is no global");
  const Tag tag = pool_[arguments].tag;
  if (tag != Tag::kTuple && tag < Tag::kGlobal) TRY(odd("has arguments that are no tuple"));
  push_new(Node::words(Tag::kCall, callable, arguments, 0, static_cast<uint8_t>(kind)));
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
  return op == Opcode::kGET ? get(key) : put(key);
}

Status Machine::control(Opcode op) {
  switch (op) {
    case Opcode::kPROTO: {
      uint8_t protocol = 0;
      TRY(read(protocol));
      if (protocol > 5)
        return bad("announces protocol " + std::to_string(protocol) + "; 5 is the last one");
      decoded_.protocol = protocol;
      return {};
    }
    case Opcode::kFRAME: {
      uint64_t length = 0;
      TRY(read(length));
      if (frame_end_ != nullptr && at_ < frame_end_) TRY(odd("opens a frame inside a frame"));
      if (length > left()) {
        if (options_.oddities == nullptr) return truncated(length);
        TRY(odd("opens a frame that the pickle ends inside"));
        frame_end_ = nullptr;
        return {};
      }
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
      return Status(Code::kUnsupportedOpcode,
                    "pickle opcode " + op_name() +
                        " refers to a buffer that is kept outside the pickle")
          .at(offset())
          .about(op_name());
  }
}

}  // namespace torchmap
