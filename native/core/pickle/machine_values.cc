// Numbers, text and containers.
#include <bit>

#include "core/pickle/literals.h"
#include "core/pickle/machine.h"
#include "core/text.h"

namespace torchmap {

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
      std::string_view digits;
      TRY(take(sizeof(double), digits));
      uint64_t bits = 0;  // big-endian, the only such number of a pickle
      for (char byte : digits) bits = bits << 8 | static_cast<uint8_t>(byte);
      push_new(Node::of_real(std::bit_cast<double>(bits)));
      return {};
    }
    case Opcode::kFLOAT: {
      std::string_view digits;
      TRY(line(digits));
      const auto value = parse_real(digits);
      if (!value) TRY(could_be_real(digits) ? odd("holds no number") : bad("holds no number"));
      push_new(Node::of_real(value.value_or(0)));
      return {};
    }
    case Opcode::kINT:
    case Opcode::kLONG: {
      std::string_view digits;
      TRY(line(digits));
      const auto value = parse_integer(digits, op == Opcode::kINT);
      if (!value) {
        const std::string what =
            "holds no integer of at most " + std::to_string(kMaxIntegerDigits) + " digits";
        TRY(could_be_integer(digits) ? odd(what) : bad(what));
        push_new(Node::of_integer(0));
      } else if (value->tag == Tag::kBool) {
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
    case Opcode::kSHORT_BINSTRING:
    case Opcode::kSHORT_BINBYTES: {
      uint8_t length = 0;
      TRY(read(length));
      return take(length, out);
    }
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
    return limit_reached(Code::kLimitString, "string", options_.limits.string, value.size())
        .at(offset());
  }
  const bool python2 =
      op == Opcode::kSTRING || op == Opcode::kBINSTRING || op == Opcode::kSHORT_BINSTRING;
  if (!python2 && !is_utf8(value)) return bad("holds text that is not UTF-8");
  push_new(Node::of_text(Tag::kStr, value, python2 ? kPython2 : 0));
  return {};
}

// `wanted` is kList or kSet.
Status Machine::add_items(NodeId target, Tag wanted, const NodeId* values, size_t count) {
  TRY(words_room(count + 2));
  Node& node = pool_[target];
  if (node.tag == wanted) {
    Items items = Pool::items_of(node);
    pool_.append(items, values, static_cast<uint32_t>(count));
    node.a = items.count;
    node.b = items.first;
    node.c = items.last;
    return {};
  }
  if (node.tag < Tag::kGlobal)
    return odd(wanted == Tag::kList ? "appends to a value that is no list"
                                    : "adds to a value that is no set");
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
  if (node.tag < Tag::kGlobal) return odd("sets items of a value that is no dict");
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
      return add_items(stack_.back(), Tag::kList, &value, 1);
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
    const NodeId made =
        pool_.add(Node::words(op == Opcode::kLIST ? Tag::kList : Tag::kDict, 0, 0, 0));
    TRY(op == Opcode::kLIST ? add_items(made, Tag::kList, values, count)
                            : add_to_dict(made, values, count));
    stack_.truncate(first);
    stack_.push(made);  // nothing was popped when the mark was on top, so room is not a given
    return {};
  }
  if (first <= fence_) return bad("needs a container below its mark");
  const NodeId target = stack_[first - 1];
  TRY(op == Opcode::kSETITEMS
          ? add_to_dict(target, values, count)
          : add_items(target, op == Opcode::kADDITEMS ? Tag::kSet : Tag::kList, values, count));
  stack_.truncate(first);
  return {};
}

}  // namespace torchmap
