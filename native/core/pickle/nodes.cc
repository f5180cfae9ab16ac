#include "core/pickle/nodes.h"

#include "core/pickle/tensor_call.h"

namespace torchmap {

namespace {

// As many as most pickles have: looked through faster than looked up.
constexpr uint32_t kFewGlobals = 16;
constexpr uint32_t kFirstWord = 2;
// Nodes and words of a pool that is kept.
constexpr size_t kMostKept = size_t{1} << 16;

std::vector<Node> common_nodes() {
  std::vector<Node> made{Node::words(Tag::kNone, 0, 0, 0), Node::words(Tag::kBool, 1, 0, 0),
                         Node::words(Tag::kBool, 0, 0, 0), Node::words(Tag::kTuple, 0, 0, 0)};
  for (int64_t value = 0; value < 256; ++value) made.push_back(Node::of_integer(value));
  return made;
}

}  // namespace

Pool::Pool() {
  static const std::vector<Node> common = common_nodes();
  nodes.append(common.data(), common.size());
  const uint32_t no_batch[kFirstWord] = {0, 0};  // so that batch 0 can mean none
  words.append(no_batch, kFirstWord);
  extras.push(Extra{});
}

NodeId Pool::add_tuple(const NodeId* items, uint32_t count, Tag tag) {
  const auto first = static_cast<uint32_t>(words.size());
  words.append(items, count);
  return add(Node::words(tag, count, first, 0));
}

TensorCall Pool::tensor_call(NodeId id) const {
  // It was one when the node was made.
  TensorCall call;
  const std::byte* at = contexts[nodes[id].b].start + nodes[id].a;
  (void)read_tensor_call(at, at + kLongestTensorCall, call);
  return call;
}

std::optional<TensorArguments> Pool::unpack(NodeId id) {
  // Six tuples' worth of words at most.
  if (words.size() > UINT32_MAX - 64) return std::nullopt;
  const TensorCall call = tensor_call(id);
  const TensorContext context = contexts[nodes[id].b];
  const auto integer = [&](int64_t value) {
    return value >= 0 && value < 256 ? kSmallInt + static_cast<NodeId>(value)
                                     : add(Node::of_integer(value));
  };
  TensorArguments arguments;
  const auto put = [&](NodeId node) { return arguments.nodes[arguments.count++] = node; };
  const auto tuple = [&](const int64_t* values, uint32_t count) {
    if (count == 0) return kEmptyTuple;
    NodeId items[TensorCall::kMostDims];
    for (uint32_t i = 0; i < count; ++i) items[i] = integer(values[i]);
    return put(add_tuple(items, count));
  };
  const NodeId key = put(add(Node::of_text(Tag::kStr, call.key)));
  const NodeId items[] = {context.word,     context.type,        key,
                          context.location, integer(call.numel), kNoneNode};
  const NodeId name = put(add_tuple(items, call.has_view ? 6 : 5));
  const NodeId storage = add(Node::words(Tag::kPersistent, name, id, 0));
  const NodeId offset = integer(call.offset);
  const NodeId size = tuple(call.sizes, call.ndim);
  const NodeId stride = tuple(call.strides, call.stride_count);
  const auto reduce = static_cast<uint8_t>(CallKind::kReduce);
  const NodeId hooks = put(add(Node::words(Tag::kCall, context.hooks, kEmptyTuple, 0, reduce)));
  const NodeId given[] = {
      storage, offset, size, stride, call.requires_grad ? kTrueNode : kFalseNode, hooks};
  const NodeId all = put(add_tuple(given, 6));
  nodes[id] = Node::words(Tag::kCall, context.function, all, nodes[id].c, reduce);
  return arguments;
}

uint32_t Pool::global(std::string_view module, std::string_view name, uint64_t offset) {
  const auto fresh = static_cast<uint32_t>(globals.size());
  if (fresh < kFewGlobals) {
    if (fresh == 0) globals.reserve(kFewGlobals);
    for (uint32_t i = 0; i < fresh; ++i) {
      if (globals[i].name == name && globals[i].module == module) return i;
    }
  } else {
    if (fresh == kFewGlobals) {
      for (uint32_t i = 0; i < fresh; ++i)
        global_index_.try_emplace({globals[i].module, globals[i].name}, i);
    }
    const auto [known, is_new] = global_index_.try_emplace({module, name}, fresh);
    if (!is_new) return known->second;
  }
  globals.push_back({module, name, offset});
  return fresh;
}

Extra& Pool::make_extra(NodeId id) {
  if (nodes[id].c == 0) {
    nodes[id].c = static_cast<uint32_t>(extras.size());
    extras.push(Extra{});
  }
  return extras[nodes[id].c];
}

void Pool::append(Items& items, const uint32_t* values, uint32_t count) {
  if (count == 0) return;
  // The last batch grows in place while nothing else was written behind it, which is the rule for
  // lists filled by single APPENDs.
  if (items.last != 0 && items.last + 2 + words[items.last] == words.size()) {
    words[items.last] += count;
  } else {
    const auto batch = static_cast<uint32_t>(words.size());
    const uint32_t header[2] = {count, 0};
    words.append(header, 2);
    if (items.last != 0) {
      words[items.last + 1] = batch;
    } else {
      items.first = batch;
    }
    items.last = batch;
  }
  words.append(values, count);
  items.count += count;
}

void Pool::clear() {
  nodes.truncate(kFirstOwn);
  words.truncate(kFirstWord);
  extras.truncate(1);
  globals.clear();
  contexts.truncate(0);
  pickle_bytes = 0;
  texts_.clear();
  global_index_.clear();
}

PoolStock::Lent PoolStock::lend() {
  std::unique_ptr<Pool> pool;
  if (idle_.empty()) {
    // Room to take it back without asking for memory.
    idle_.reserve(++made_);
    pool = std::make_unique<Pool>();
  } else {
    pool = std::move(idle_.back());
    idle_.pop_back();
  }
  return Lent(pool.release(), GiveBack{this});
}

void PoolStock::take_back(Pool* pool) noexcept {
  std::unique_ptr<Pool> mine(pool);
  if (mine->nodes.capacity() > kMostKept || mine->words.capacity() > kMostKept) return;
  mine->clear();
  idle_.push_back(std::move(mine));
}

std::vector<uint32_t> Pool::list(const Items& items) const {
  std::vector<uint32_t> out;
  out.reserve(items.count);
  each(items, [&](uint32_t word) { out.push_back(word); });
  return out;
}

}  // namespace torchmap
