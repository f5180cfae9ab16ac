#include "core/torch/state_dict.h"

namespace torchmap {
namespace {

// Keys under which tools keep the weights beside other things, commonest first.
// Sources: Lightning, torchvision references, timm, ESPnet, BasicSR, fairseq, DeepSpeed,
// ultralytics.
constexpr std::string_view kWrappers[] = {
    "state_dict", "model_state_dict", "model",   "module", "net",   "network",   "params_ema",
    "params",     "model_state",      "weights", "ema",    "state", "checkpoint"};
constexpr int kMaxWrappers = 4;  // {'checkpoint': {'model': {'state_dict': ...}}}

bool is_mapping(Interpreter& interpreter, NodeId id) {
  const Node& node = interpreter.pool()[id];
  return node.tag == Tag::kDict ||
         (node.tag == Tag::kCall && static_cast<Meaning>(node.aux) == Meaning::kMapping);
}

bool is_tensor(Interpreter& interpreter, NodeId id) {
  if (!interpreter.resolve(id).ok()) return false;
  const Node& node = interpreter.pool()[interpreter.target(id)];
  return node.tag == Tag::kForeign && static_cast<Foreign>(node.flags) == Foreign::kTensor;
}

// Whether the value can be the weights: a module, or a mapping with at least one tensor or mapping
// in it.
bool may_hold_weights(Interpreter& interpreter, NodeId id) {
  if (!interpreter.resolve(id).ok()) return false;
  id = interpreter.target(id);
  if (interpreter.pool()[id].tag == Tag::kCall && module_state(interpreter, id)) return true;
  if (!is_mapping(interpreter, id)) return false;
  bool found = false;
  interpreter.each_entry(id, [&](NodeId, NodeId value) {
    if (found) return;
    found = is_tensor(interpreter, value) || is_mapping(interpreter, interpreter.target(value)) ||
            (interpreter.pool()[interpreter.target(value)].tag == Tag::kCall &&
             module_state(interpreter, value));
  });
  return found;
}

NodeId find_weights(Interpreter& interpreter, NodeId root) {
  for (int level = 0; level < kMaxWrappers; ++level) {
    if (!interpreter.resolve(root).ok()) return root;
    root = interpreter.target(root);
    if (!is_mapping(interpreter, root)) return root;
    std::optional<NodeId> inner;
    for (std::string_view wrapper : kWrappers) {
      const auto value = interpreter.entry(root, wrapper);
      if (!value || !may_hold_weights(interpreter, *value)) continue;
      inner = interpreter.target(*value);
      break;
    }
    if (!inner) return root;
    root = *inner;
  }
  return root;
}

// The child whose key is a prefix of `path` up to a dot or its end; keys may hold dots, the longest
// one wins.
std::optional<NodeId> descend(Interpreter& interpreter, NodeId node, std::string_view& path) {
  std::optional<NodeId> best;
  size_t best_length = 0;
  const auto offer = [&](std::string_view key, NodeId value) {
    const bool matches =
        path.starts_with(key) && (path.size() == key.size() || path[key.size()] == '.');
    if (!matches || (best && key.size() <= best_length)) return;
    best = value;
    best_length = key.size();
  };
  const auto offer_entries = [&](NodeId dict) {
    uint32_t position = 0;
    interpreter.each_entry(dict, [&](NodeId key, NodeId value) {
      std::string text;
      append_key(text, interpreter, key, position++);
      offer(text, value);
    });
  };
  offer_entries(node);
  for (NodeId dict : attribute_dicts(interpreter, node)) offer_entries(dict);
  if (const auto module = module_state(interpreter, node)) {
    for (NodeId part : {module->parameters, module->buffers, module->modules}) offer_entries(part);
  }
  uint32_t index = 0;
  for (NodeId item : interpreter.all_items(node)) offer(std::to_string(index++), item);
  path.remove_prefix(std::min(path.size(), best_length + 1));
  return best;
}

// A module as Python or TorchScript pickles it.
bool is_module(Interpreter& interpreter, NodeId id) {
  if (!interpreter.resolve(id).ok()) return false;
  id = interpreter.target(id);
  const Pool& pool = interpreter.pool();
  if (pool[id].tag != Tag::kCall) return false;
  if (module_state(interpreter, id)) return true;
  const Node& type = pool[pool.target(pool[id].a)];
  return type.tag == Tag::kGlobal && pool.globals[type.a].module.starts_with("__torch__");
}

}  // namespace

NodeId only_weights(Interpreter& interpreter, NodeId root) {
  std::vector<NodeId> modules, mappings;
  interpreter.each_entry(root, [&](NodeId, NodeId value) {
    if (is_module(interpreter, value)) {
      modules.push_back(interpreter.target(value));
    } else if (may_hold_weights(interpreter, value)) {
      mappings.push_back(interpreter.target(value));
    }
  });
  if (modules.size() == 1) return modules[0];
  return modules.empty() && mappings.size() == 1 ? mappings[0] : root;
}

Status state_dict(Interpreter& interpreter, NodeId root, std::optional<std::string_view> from,
                  Names& names) {
  NodeId branch = root;
  if (from) {
    std::string_view left = *from;
    while (!left.empty()) {
      TRY(interpreter.resolve(branch));
      const auto next = descend(interpreter, interpreter.target(branch), left);
      if (!next)
        return Status(Code::kNoSuchTensor,
                      "nothing in the checkpoint is called '" + std::string(*from) + "'")
            .about(*from);
      branch = *next;
    }
  } else {
    branch = find_weights(interpreter, root);
  }
  std::vector<Skipped> skipped;  // the walk over everything has listed them
  return walk(interpreter, branch, WalkMode::kStateDict, names, skipped);
}

}  // namespace torchmap
