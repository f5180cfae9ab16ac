#include "core/torch/module.h"

#include <algorithm>

namespace torchmap {

std::vector<NodeId> attribute_dicts(Interpreter& interpreter, NodeId object) {
  Pool& pool = interpreter.pool();
  std::vector<NodeId> dicts;
  const auto add = [&](NodeId candidate) {
    if (!interpreter.resolve(candidate).ok()) return;
    candidate = pool.target(candidate);
    const Node& node = pool[candidate];
    if (node.tag == Tag::kDict ||
        (node.tag == Tag::kCall && static_cast<Meaning>(node.aux) == Meaning::kMapping)) {
      dicts.push_back(candidate);
    }
  };
  for (NodeId state : pool.list(pool.extra(pool.target(object)).states)) {
    state = pool.target(state);
    const Node& node = pool[state];
    if (node.tag == Tag::kTuple && node.a == 2) {  // (dict or None, slots)
      const uint32_t first = pool.words[node.b], second = pool.words[node.b + 1];
      add(first);
      if (!dicts.empty() || pool[pool.target(first)].tag == Tag::kNone) add(second);
    } else {
      add(state);
    }
  }
  return dicts;
}

std::optional<ModuleState> module_state(Interpreter& interpreter, NodeId object) {
  for (NodeId dict : attribute_dicts(interpreter, object)) {
    const auto parameters = interpreter.entry(dict, "_parameters");
    const auto modules = interpreter.entry(dict, "_modules");
    const auto buffers = interpreter.entry(dict, "_buffers");
    if (!parameters || !modules || !buffers) continue;
    for (NodeId part : {*parameters, *modules, *buffers}) {
      if (!interpreter.resolve(part).ok()) return std::nullopt;
    }
    const auto hidden = interpreter.entry(dict, "_non_persistent_buffers_set");
    if (hidden && !interpreter.resolve(*hidden).ok()) return std::nullopt;
    return ModuleState{*parameters, *buffers, *modules, hidden};
  }
  return std::nullopt;
}

std::vector<std::string_view> hidden_buffers(Interpreter& interpreter, const ModuleState& module) {
  std::vector<std::string_view> names;
  if (!module.non_persistent) return names;
  Pool& pool = interpreter.pool();
  const NodeId set = pool.target(*module.non_persistent);
  std::vector<NodeId> items;
  if (pool[set].tag == Tag::kSet) items = pool.list(Pool::items_of(pool[set]));
  if (pool[set].tag == Tag::kCall) {  // set([...])
    for (NodeId argument : interpreter.first_items(pool[set].b, 1)) {
      items = interpreter.all_items(argument);
    }
  }
  for (NodeId item : items) {
    if (const auto name = interpreter.text(item)) names.push_back(*name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace torchmap
