#include "core/torch/walk.h"

#include <algorithm>

#include "core/torch/key_index.h"
#include "core/torch/quantized_module.h"

namespace torchmap {
namespace {

// How the name of a child goes on from its parent's.
enum class Segment : uint8_t { kKey, kIndex, kNone };

struct Child {
  NodeId node;
  uint32_t key;    // node of a dict key
  uint32_t index;  // position in its container
  Segment segment;
};

struct Frame {
  NodeId node;
  size_t next, end;  // children still to visit
  size_t path;       // bytes of the path up to and including this node
  size_t names;      // how many there were when it was entered, skipped ones too
  uint32_t lowest;   // depth of the outermost frame that a cycle below here leads to
};

// What is known of a container: one of these, or kOnPath + its depth.
enum State : uint32_t { kNew, kBarren, kNamed, kCyclic, kOnPath };

// Text of this length counts as one more step of work.
constexpr size_t kBytesPerWalkStep = 64;

bool is_leaf(Tag tag) { return tag <= Tag::kByteArray; }

class Walker {
 public:
  Walker(Interpreter& interpreter, WalkMode mode, Names& names, std::vector<Skipped>& skipped)
      : interpreter_(interpreter),
        pool_(interpreter.pool()),
        mode_(mode),
        names_(names),
        skipped_(skipped),
        key_index_(interpreter.pool()) {}

  Status run(NodeId root, std::string_view prefix);

 private:
  Status visit(NodeId node, size_t path);
  Status leave();
  Status check_room() const;
  Status emit(uint32_t tensor);
  Status skip(const Failure& failure);

  void expand(NodeId node);
  void expand_object(NodeId node);
  void expand_script(NodeId node, const ScriptClass& type);
  void expand_unknown_script(NodeId node);
  void expand_states(NodeId node);
  bool expand_module(NodeId node);
  bool add_own(NodeId node);
  void add_entries(NodeId dict);
  void settle_repeated(size_t first);
  void add_items(const Items& items);
  void add(NodeId node, uint32_t index, Segment segment) {
    ++work_;
    if (!is_leaf(pool_[node].tag)) children_.push({node, 0, index, segment});
  }
  // Of the children from `first` on those that are wanted.
  template <typename F>
  void keep(size_t first, const F& is_wanted) {
    size_t kept = first;
    for (size_t i = first; i < children_.size(); ++i) {
      if (is_wanted(children_[i])) children_[kept++] = children_[i];
    }
    children_.truncate(kept);
  }
  std::string_view key_text(const Child& child) const {
    return interpreter_.text(child.key).value_or("");
  }
  uint32_t& state(NodeId node);
  size_t named() const { return names_.size() + skipped_.size(); }
  // Whether nothing is left to name below the node, without looking at it again.
  bool is_done(NodeId node) const {
    node = pool_.target(node);
    if (pool_[node].tag == Tag::kForeign) return false;  // a tensor has a name each time
    return node < states_.size() && (states_[node] == kBarren || states_[node] == kCyclic);
  }

  Interpreter& interpreter_;
  Pool& pool_;
  WalkMode mode_;
  Names& names_;
  std::vector<Skipped>& skipped_;
  std::vector<Frame> frames_;
  Buffer<Child> children_;
  std::string path_;
  std::vector<uint32_t> states_;
  uint64_t work_ = 0;
  uint64_t skipped_bytes_ = 0;
  KeyIndex key_index_;
};

uint32_t& Walker::state(NodeId node) {
  if (node >= states_.size()) states_.resize(pool_.nodes.size());
  return states_[node];
}

// Whether one more name is allowed, of a tensor or of what is skipped.
Status Walker::check_room() const {
  const Limits& limits = interpreter_.limits();
  const uint64_t count = named();
  if (count >= limits.names) {
    return limit_reached(Code::kLimitNames, "names", limits.names, count + 1);
  }
  const uint64_t bytes = names_.text.size() + skipped_bytes_ + path_.size();
  if (bytes > limits.name_bytes) {
    return limit_reached(Code::kLimitNames, "nameBytes", limits.name_bytes, bytes);
  }
  return {};
}

Status Walker::skip(const Failure& failure) {
  TRY(check_room());
  skipped_bytes_ += path_.size() + failure.message.size();
  skipped_.push_back({path_, failure.code, failure.message});
  return {};
}

Status Walker::emit(uint32_t tensor) {
  TRY(check_room());
  names_.text += path_;
  names_.ends.push(names_.text.size());
  names_.tensors.push(tensor);
  return {};
}

void Walker::add_items(const Items& items) {
  uint32_t index = 0;
  pool_.each(items, [&](uint32_t item) { add(item, index++, Segment::kIndex); });
}

void Walker::add_entries(NodeId dict) {
  bool has_children = false;
  uint32_t count = 0;
  interpreter_.each_entry(dict, [&](NodeId, NodeId value) {
    ++count;
    has_children |= !is_leaf(pool_[value].tag);
  });
  work_ += count;
  if (!has_children) return;
  const size_t first = children_.size();
  children_.make_room(count);
  uint32_t number = 0;
  interpreter_.each_entry(dict, [&](NodeId key, NodeId value) {
    children_.push({value, key, number++, Segment::kKey});
  });
  const auto key_of = [&](uint32_t i) { return children_[first + i].key; };
  if (!key_index_.are_distinct(count, key_of, work_)) settle_repeated(first);
  // Leaves were kept so far, because a leaf may have replaced a tensor.
  keep(first, [&](const Child& child) { return !is_leaf(pool_[child.node].tag); });
}

// A key given twice keeps its place and has its last value.
void Walker::settle_repeated(size_t first) {
  std::vector<NodeId> keys;
  for (size_t i = first; i < children_.size(); ++i) keys.push_back(children_[i].key);
  const auto places = key_index_.first_places(keys, work_);
  uint32_t number = 0;
  for (size_t i = 0; i < places.size(); ++i) {
    Child& child = children_[first + i];
    if (places[i] == i) {
      child.index = number++;
    } else {
      children_[first + places[i]].node = child.node;
      child.node = Pool::kNoneNode;
    }
  }
}

bool Walker::expand_module(NodeId node) {
  const auto module = module_state(interpreter_, node);
  if (!module) return false;
  add_entries(module->parameters);
  const size_t buffers = children_.size();
  add_entries(module->buffers);
  if (mode_ == WalkMode::kStateDict) {
    const std::vector<std::string_view> hidden = hidden_buffers(interpreter_, *module);
    work_ += hidden.size();
    keep(buffers, [&](const Child& child) {
      return !std::binary_search(hidden.begin(), hidden.end(), key_text(child));
    });
  }
  if (mode_ == WalkMode::kStateDict) add_own(node);
  add_entries(module->modules);
  return true;
}

// What a module of torch's own puts into its state dict by code; whether there is any.
bool Walker::add_own(NodeId node) {
  const std::vector<StateEntry> entries = quantized_entries(interpreter_, node);
  work_ += entries.size();
  for (const auto& [key, value] : entries) children_.push({value, key, 0, Segment::kKey});
  return !entries.empty();
}

// Attributes from BUILD: of a module without its three dicts, which are named without a level of
// their own.
void Walker::expand_states(NodeId node) {
  const bool is_module = pool_[node].tag == Tag::kCall && expand_module(node);
  if (is_module && mode_ == WalkMode::kStateDict) return;
  if (!is_module && mode_ == WalkMode::kStateDict && add_own(node)) return;
  work_ += pool_.extra(node).states.count;
  const std::vector<NodeId> dicts = attribute_dicts(interpreter_, node);
  for (NodeId dict : dicts) {
    const size_t first = children_.size();
    add_entries(dict);
    if (!is_module) continue;
    keep(first, [&](const Child& child) {
      const std::string_view name = key_text(child);
      return name != "_parameters" && name != "_buffers" && name != "_modules";
    });
  }
  if (!dicts.empty()) return;
  for (NodeId value : pool_.list(pool_.extra(node).states)) add(value, 0, Segment::kNone);
}

// The state dict of a TorchScript module: parameters, buffers, submodules, in this order. Source:
// torch/jit/_script.py, RecursiveScriptModule (v2.13), whose buffers are all persistent.
void Walker::expand_script(NodeId node, const ScriptClass& type) {
  if (!type.is_module) return;
  const size_t first = children_.size();
  work_ += pool_.extra(node).states.count;
  for (NodeId dict : attribute_dicts(interpreter_, node)) add_entries(dict);
  enum Rank { kParameter, kBuffer, kModule, kOther };
  const auto rank = [&](const Child& child) {
    (void)interpreter_.resolve(child.node);
    if (interpreter_.is_script(child.node)) return kModule;
    const Node& value = pool_[pool_.target(child.node)];
    if (value.tag != Tag::kForeign) return kOther;
    const std::string_view name = key_text(child);
    return type.has_parameter(name) ? kParameter : type.has_buffer(name) ? kBuffer : kOther;
  };
  const std::vector<Child> all(children_.data() + first, children_.data() + children_.size());
  children_.truncate(first);
  for (const Rank wanted : {kParameter, kBuffer, kModule}) {
    for (const Child& child : all) {
      if (rank(child) == wanted) children_.push(child);
    }
  }
}

// The same where the code does not say what is a parameter or a buffer: tensors and submodules.
void Walker::expand_unknown_script(NodeId node) {
  const size_t first = children_.size();
  expand_states(node);
  keep(first, [&](const Child& child) {
    (void)interpreter_.resolve(child.node);
    const Tag tag = pool_[pool_.target(child.node)].tag;
    return tag == Tag::kForeign || interpreter_.is_script(child.node);
  });
}

void Walker::expand_object(NodeId node) {
  if (mode_ == WalkMode::kStateDict && interpreter_.is_script(node)) {
    const ScriptClass* type = interpreter_.script_class(node);
    return type != nullptr ? expand_script(node, *type) : expand_unknown_script(node);
  }
  if (pool_[node].tag == Tag::kCall) {
    const NodeId arguments = pool_.target(pool_[node].b);
    if (pool_[arguments].tag == Tag::kTuple) {
      for (uint32_t i = 0; i < pool_[arguments].a; ++i)
        add(pool_.words[pool_[arguments].b + i], i, Segment::kIndex);
    } else {
      add(arguments, 0, Segment::kNone);
    }
    add(pool_[node].a, 0, Segment::kNone);  // a class that was given state of its own
  }
  if (const NodeId kwargs = pool_.extra(node).kwargs; kwargs != 0) add(kwargs, 0, Segment::kNone);
  expand_states(node);
  add_items(pool_.extra(node).items);
  NodeId key = 0;
  uint32_t position = 0;
  pool_.each(pool_.extra(node).entries, [&](uint32_t word) {
    ++work_;
    if (position % 2 != 0 && !is_leaf(pool_[word].tag))
      children_.push({word, key, position / 2, Segment::kKey});
    key = word;
    ++position;
  });
}

void Walker::expand(NodeId node) {
  const Node value = pool_[node];  // a copy: resolving makes nodes, which moves them
  switch (value.tag) {
    case Tag::kTuple:
    case Tag::kFrozenSet:
      for (uint32_t i = 0; i < value.a; ++i) add(pool_.words[value.b + i], i, Segment::kIndex);
      return;
    case Tag::kList:
    case Tag::kSet:
      add_items(Pool::items_of(value));
      return;
    case Tag::kDict:
      add_entries(node);
      return;
    case Tag::kForeign:
      // A jagged tensor's or a DTensor's attributes are its parts, which the tensor itself gives.
      if (static_cast<Foreign>(value.flags) == Foreign::kTensor) {
        const Tensor& tensor = interpreter_.catalog().tensors[value.a];
        if (tensor.layout != Layout::kJagged &&
            ((tensor.flags & kWrapper) == 0 || tensor.part_count == 0))
          expand_states(node);
      }
      if (static_cast<Foreign>(value.flags) == Foreign::kArray &&
          interpreter_.catalog().arrays[value.a].objects != 0) {
        const NodeId objects = interpreter_.catalog().arrays[value.a].objects;
        uint32_t index = 0;
        for (NodeId item : interpreter_.all_items(objects)) add(item, index++, Segment::kIndex);
      }
      return;
    case Tag::kCall:
      switch (static_cast<Meaning>(value.aux)) {
        case Meaning::kMapping:
          add_entries(node);
          work_ += pool_.extra(node).states.count;
          for (NodeId dict : attribute_dicts(interpreter_, node)) add_entries(dict);
          return;
        case Meaning::kSet:
        case Meaning::kSequence: {
          const NodeId arguments = pool_.target(value.b);
          if (pool_[arguments].a > 0) add(pool_.words[pool_[arguments].b], 0, Segment::kNone);
          add_items(pool_.extra(node).items);
          return;
        }
        case Meaning::kSkipped:
          return;
        default:
          return expand_object(node);
      }
    case Tag::kGlobal:
    case Tag::kPersistent:
    case Tag::kExtension:
      if (value.c != 0) expand_object(node);
      return;
    default:
      return;
  }
}

Status Walker::visit(NodeId node, size_t path) {
  Status status = interpreter_.resolve(node);
  node = pool_.target(node);
  if (!status.ok()) {
    Failure& failure = status.failure();
    if (interpreter_.may_skip(failure.code)) return skip(failure);
    failure.message = "tensor '" + path_ + "': " + failure.message;
    return status;
  }
  const Node& value = pool_[node];
  if (is_leaf(value.tag)) return {};
  if (value.tag == Tag::kForeign && static_cast<Foreign>(value.flags) == Foreign::kTensor) {
    TRY(emit(value.a));
    if (value.c == 0) return {};  // no attributes
  }
  if (value.tag == Tag::kForeign && static_cast<Foreign>(value.flags) == Foreign::kStorage) {
    if (const Status lost = interpreter_.lost(value.a); !lost.ok()) return skip(lost.failure());
    if (const uint32_t tensor = interpreter_.bare_tensor(value.a); tensor != kNoIndex)
      TRY(emit(tensor));
    return {};
  }

  uint32_t& known = state(node);
  if (known >= kOnPath) {
    frames_.back().lowest = std::min(frames_.back().lowest, known - kOnPath);
    return {};
  }
  if (known == kBarren || known == kCyclic) return {};
  const size_t first = children_.size();
  expand(node);
  if (children_.size() == first) {
    state(node) = kBarren;
    return {};
  }
  const auto depth = static_cast<uint32_t>(frames_.size());
  state(node) = kOnPath + depth;
  frames_.push_back({node, first, children_.size(), path, named(), UINT32_MAX});
  return {};
}

Status Walker::leave() {
  const Frame frame = frames_.back();
  frames_.pop_back();
  children_.truncate(frames_.empty() ? 0 : frames_.back().end);
  const auto depth = static_cast<uint32_t>(frames_.size());
  if (frame.lowest <= depth) {
    state(frame.node) = kCyclic;
  } else {
    state(frame.node) = named() == frame.names ? kBarren : kNamed;
  }
  if (frame.lowest < depth && !frames_.empty())
    frames_.back().lowest = std::min(frames_.back().lowest, frame.lowest);
  return {};
}

Status Walker::run(NodeId root, std::string_view prefix) {
  const uint64_t size =
      pool_.nodes.size() + pool_.words.size() + pool_.pickle_bytes / kBytesPerWalkStep;
  const Limits& limits = interpreter_.limits();
  const uint64_t allowance = work_allowance(limits, size);
  path_ = prefix;
  TRY(visit(root, path_.size()));
  while (!frames_.empty()) {
    Frame& frame = frames_.back();
    if (frame.next == frame.end) {
      TRY(leave());
      continue;
    }
    if (++work_ > allowance || children_.size() > 2 * (pool_.nodes.size() + pool_.words.size())) {
      return limit_reached(Code::kLimitWork, "work", limits.work, work_ / size + 1);
    }
    const Child child = children_[frame.next++];
    if (is_done(child.node)) continue;
    path_.resize(frame.path);
    if (child.segment != Segment::kNone) {
      if (frame.path > 0) path_.push_back('.');
      if (child.segment == Segment::kKey) {
        append_key(path_, interpreter_, child.key, child.index);
        work_ += (path_.size() - frame.path) / kBytesPerWalkStep;
      } else {
        path_ += std::to_string(child.index);
      }
      if (path_.size() > limits.name_bytes) {
        return limit_reached(Code::kLimitNames, "nameBytes", limits.name_bytes, path_.size());
      }
    }
    TRY(visit(child.node, path_.size()));
  }
  return {};
}

}  // namespace

Status walk(Interpreter& interpreter, NodeId root, WalkMode mode, Names& names,
            std::vector<Skipped>& skipped, std::string_view prefix) {
  return Walker(interpreter, mode, names, skipped).run(root, prefix);
}

}  // namespace torchmap
