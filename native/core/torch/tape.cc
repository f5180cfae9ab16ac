#include "core/torch/tape.h"

#include <algorithm>

#include "core/text.h"
#include "core/torch/walk.h"

namespace torchmap {
namespace {

enum Type : uint32_t {
  kNone,
  kFalse,
  kTrue,
  kInt,
  kBigInt,
  kFloat,
  kStr,
  kBytes,
  kList,
  kSet,
  kDict,
  kGlobal,
  kObject,
  kTensor,
  kComplex,
  kArray,
  kStorage
};

// "0x..." of little-endian two's complement bytes; '-' in front when negative.
std::string hexadecimal(std::string_view bytes) {
  const bool negative = !bytes.empty() && (bytes.back() & 0x80) != 0;
  std::string magnitude(bytes);
  if (negative) {
    uint32_t carry = 1;
    for (char& byte : magnitude) {
      carry += static_cast<uint8_t>(~byte);
      byte = static_cast<char>(carry);
      carry >>= 8;
    }
    if (carry != 0) magnitude.push_back('\1');
  }
  std::string out = negative ? "-0x" : "0x";
  constexpr char kDigits[] = "0123456789abcdef";
  for (size_t i = magnitude.size(); i-- > 0;) {
    out.push_back(kDigits[static_cast<uint8_t>(magnitude[i]) >> 4]);
    out.push_back(kDigits[magnitude[i] & 0x0F]);
  }
  if (magnitude.empty()) out.push_back('0');
  return out;
}

class TapeWriter {
 public:
  TapeWriter(Interpreter& interpreter, bool outline)
      : interpreter_(interpreter),
        pool_(interpreter.pool()),
        outline_(outline),
        allowance_(std::min<uint64_t>(
            UINT32_MAX / 2,
            work_allowance(interpreter.limits(), pool_.nodes.size() + pool_.words.size()))),
        text_allowance_(std::min<uint64_t>(
            UINT32_MAX / 2, work_allowance(interpreter.limits(), pool_.pickle_bytes + 4096))),
        global_strings_(pool_.globals.size()) {}

  Result<Tape> write(NodeId root) {
    tape_.root = number(root, 0);
    // Values are written in the order they were numbered, and writing one numbers its children.
    for (size_t next = 0; next < order_.size(); ++next) {
      depth_ = depths_[next];
      TRY(value(order_[next]));
      const uint64_t bytes = tape_.bytes.size() + tape_.text.size();
      if (tape_.words.size() > allowance_ || bytes > text_allowance_) {
        const uint64_t limit = interpreter_.limits().work;
        return limit_reached(Code::kLimitWork, "work", limit, limit + 1);
      }
    }
    return std::move(tape_);
  }

 private:
  // The number of a node's value, given when it is first referred to.
  uint32_t number(NodeId id, uint32_t depth) {
    (void)interpreter_.resolve(id);  // a failure leaves an object
    id = pool_.target(id);
    if (id >= numbers_.size()) numbers_.resize(pool_.nodes.size(), 0);
    if (numbers_[id] == 0) {
      order_.push_back(id);
      depths_.push_back(static_cast<uint8_t>(depth));
      numbers_[id] = static_cast<uint32_t>(order_.size());
    }
    return numbers_[id] - 1;
  }
  void put(uint32_t word) { tape_.words.push_back(word); }
  void put64(uint64_t value) {
    put(static_cast<uint32_t>(value));
    put(static_cast<uint32_t>(value >> 32));
  }
  uint32_t string(std::string_view text) {
    append_utf16(tape_.text, text);
    tape_.text_ends.push_back(static_cast<uint32_t>(tape_.text.size()));
    return static_cast<uint32_t>(tape_.text_ends.size() - 1);
  }
  void raw(std::string_view bytes) {
    if (outline_) bytes = {};
    put(static_cast<uint32_t>(tape_.bytes.size()));
    put(static_cast<uint32_t>(bytes.size()));
    tape_.bytes += bytes;
  }
  void real(double value) { tape_.reals.push_back(value); }
  void items(std::vector<uint32_t> nodes) {
    if (outline_) shorten(nodes, 1);
    put(static_cast<uint32_t>(nodes.size()));
    for (NodeId node : nodes) put(number(node, depth_ + 1));
  }
  void entries(std::vector<uint32_t> pairs) {
    if (outline_) shorten(pairs, 2);
    put(static_cast<uint32_t>(pairs.size() / 2));
    for (NodeId node : pairs) put(number(node, depth_ + 1));
  }
  bool is_bottom() const { return outline_ && depth_ >= kOutlineDepth; }
  bool is_tensor(NodeId id) const {
    const Node& node = pool_[pool_.target(id)];
    return node.tag == Tag::kForeign && static_cast<Foreign>(node.flags) == Foreign::kTensor;
  }
  void shorten(std::vector<uint32_t>& nodes, size_t width);

  Status value(NodeId id);
  void call(NodeId id);
  void foreign(NodeId id);
  void array(const NdArray& array);
  void object(NodeId id, uint32_t global, bool has_args, NodeId args);
  void mapping(NodeId id);
  // A global named many times has its strings once.
  void global_words(uint32_t index) {
    auto& [module, name] = global_strings_[index];
    if (name == 0) {
      const GlobalName renamed = python3_name(pool_.globals[index]);
      module = string(renamed.module);
      name = string(renamed.name);
    }
    put(kGlobal);
    put(module);
    put(name);
  }

  Interpreter& interpreter_;
  Pool& pool_;
  Tape tape_;
  const bool outline_;
  const uint64_t allowance_;       // words: values that share an argument write it anew each
  const uint64_t text_allowance_;  // bytes, and units of text
  std::vector<std::pair<uint32_t, uint32_t>>
      global_strings_;  // module, name; name 0 is not yet written
  std::vector<NodeId> order_;
  std::vector<uint8_t> depths_;  // of each in `order_`, below the root; unused but in outlines
  std::vector<uint32_t> numbers_;
  uint32_t depth_ = 0;  // of the value that is being written
};

// Leaves what an outline has of the contents: groups of `width` nodes, whose last one is the value.
void TapeWriter::shorten(std::vector<uint32_t>& nodes, size_t width) {
  size_t kept = 0;
  uint32_t tensors = 0, others = 0;
  const size_t count = is_bottom() ? 0 : nodes.size();
  for (size_t at = 0; at + width <= count; at += width) {
    const NodeId last = nodes[at + width - 1];
    (void)interpreter_.resolve(last);
    if (is_tensor(last) ? ++tensors > kOutlineTensors : ++others > kOutlineItems) continue;
    for (size_t i = 0; i < width; ++i) nodes[kept++] = nodes[at + i];
  }
  nodes.resize(kept);
}

Status TapeWriter::value(NodeId id) {
  const Node node = pool_[id];
  switch (node.tag) {
    case Tag::kNone:
      put(kNone);
      return {};
    case Tag::kBool:
      put(node.a != 0 ? kTrue : kFalse);
      return {};
    case Tag::kInt:
      put(kInt);
      put64(static_cast<uint64_t>(node.integer));
      return {};
    case Tag::kBigInt:
      put(kBigInt);
      put(string((node.flags & kDecimal) != 0 ? std::string(node.text())
                                              : hexadecimal(node.text())));
      return {};
    case Tag::kFloat:
      put(kFloat);
      put(static_cast<uint32_t>(tape_.reals.size()));
      real(node.real);
      return {};
    case Tag::kStr:
      put(kStr);
      put(string((node.flags & kPython2) != 0 && !is_utf8(node.text()) ? latin1_to_utf8(node.text())
                                                                       : std::string(node.text())));
      return {};
    case Tag::kBytes:
    case Tag::kByteArray:
      if (node.text().size() > UINT32_MAX - tape_.bytes.size()) {
        return limit_reached(Code::kLimitString, "string", interpreter_.limits().string,
                             node.text().size());
      }
      put(kBytes);
      raw(node.text());
      return {};
    case Tag::kTuple:
    case Tag::kFrozenSet: {
      const auto span = pool_.tuple(id);
      put(node.tag == Tag::kTuple ? kList : kSet);
      items({span.begin(), span.end()});
      return {};
    }
    case Tag::kList:
    case Tag::kSet:
      put(node.tag == Tag::kList ? kList : kSet);
      items(pool_.list(Pool::items_of(node)));
      return {};
    case Tag::kDict:
      mapping(id);
      return {};
    case Tag::kGlobal: {
      const GlobalName& name = pool_.globals[node.a];
      const GlobalKind kind = interpreter_.meaning(id).kind;
      // dtypes and qschemes are strings, as torch prints them without "torch.".
      if (kind == GlobalKind::kDType || kind == GlobalKind::kShellDType ||
          kind == GlobalKind::kQScheme) {
        put(kStr);
        put(string(name.name));
      } else {
        global_words(node.a);
      }
      return {};
    }
    case Tag::kExtension:
      put(kGlobal);
      put(string("copyreg.extension"));
      put(string(std::to_string(node.a)));
      return {};
    case Tag::kPersistent:
      object(id, kNoIndex, true, node.a);
      return {};
    case Tag::kTensorCall:  // resolved before, so there is none
    case Tag::kCall:
      call(id);
      return {};
    case Tag::kForeign:
      foreign(id);
      return {};
    case Tag::kAlias:
      return value(pool_.target(id));
  }
  return {};
}

void TapeWriter::mapping(NodeId id) {
  std::vector<uint32_t> pairs;
  interpreter_.each_entry(id, [&](NodeId key, NodeId entry) {
    pairs.push_back(key);
    pairs.push_back(entry);
  });
  put(kDict);
  entries(std::move(pairs));
}

void TapeWriter::object(NodeId id, uint32_t global, bool has_args, NodeId args) {
  put(kObject);
  put(global);
  has_args = has_args && !is_bottom();
  put(has_args ? 1 : 0);
  put(has_args ? number(args, depth_) : 0);
  const Extra extra = pool_.extra(id);
  std::vector<uint32_t> states = pool_.list(extra.states);
  if (is_bottom()) states.clear();
  put(static_cast<uint32_t>(states.size()));
  for (NodeId state : states) put(number(state, depth_));
  items(pool_.list(extra.items));
  entries(pool_.list(extra.entries));
  const bool has_kwargs = extra.kwargs != 0 && !is_bottom();
  put(has_kwargs ? number(extra.kwargs, depth_) + 1 : 0);
}

void TapeWriter::call(NodeId id) {
  const Node node = pool_[id];
  const auto meaning = static_cast<Meaning>(node.aux);
  if (meaning == Meaning::kMapping) return mapping(id);
  if (meaning == Meaning::kSet || meaning == Meaning::kSequence) {
    std::vector<uint32_t> all;
    const NodeId arguments = pool_.target(node.b);
    if (pool_[arguments].a > 0) {
      const NodeId first = pool_.target(pool_.words[pool_[arguments].b]);
      const Tag tag = pool_[first].tag;
      if (tag == Tag::kList || tag == Tag::kSet) all = pool_.list(Pool::items_of(pool_[first]));
      if (tag == Tag::kTuple || tag == Tag::kFrozenSet)
        all.assign(pool_.tuple(first).begin(), pool_.tuple(first).end());
    }
    const std::vector<uint32_t> later = pool_.list(pool_.extra(id).items);
    all.insert(all.end(), later.begin(), later.end());
    put(meaning == Meaning::kSet ? kSet : kList);
    return items(std::move(all));
  }
  object(id, number(node.a, depth_), true, node.b);
}

void TapeWriter::array(const NdArray& row) {
  put(kArray);
  put(string(row.dtype));
  put(row.tensor);
  put(static_cast<uint32_t>(row.shape.size()));
  for (int64_t size : row.shape) put64(static_cast<uint64_t>(size));
  put(row.fortran ? 1 : 0);
  raw(row.tensor == kNoIndex ? row.bytes : std::string_view());
  put(row.objects == 0 ? 0 : number(row.objects, depth_ + 1) + 1);
}

void TapeWriter::foreign(NodeId id) {
  const Node node = pool_[id];
  switch (static_cast<Foreign>(node.flags)) {
    case Foreign::kTensor:
      put(kTensor);
      put(node.a);
      return;
    case Foreign::kArray:
      return array(NdArray(interpreter_.catalog().arrays[node.a]));
    case Foreign::kStorage:
      put(kStorage);
      put(node.a);
      return;
    case Foreign::kComplex: {
      const auto [re, im] = interpreter_.catalog().complexes[node.a];
      put(kComplex);
      put(static_cast<uint32_t>(tape_.reals.size()));
      real(re);
      real(im);
      return;
    }
  }
}

}  // namespace

Result<Tape> make_tape(Interpreter& interpreter, NodeId root) {
  return TapeWriter(interpreter, false).write(root);
}

Result<Tape> make_outline(Interpreter& interpreter, NodeId root) {
  return TapeWriter(interpreter, true).write(root);
}

}  // namespace torchmap
