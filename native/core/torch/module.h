// What BUILD gave an object, and nn.Module's part of it.
// Source: torch/nn/modules/module.py, Module.__setstate__ (v2.13).
#pragma once

#include "core/torch/interpreter.h"

namespace torchmap {

// The state of an nn.Module as pickled: a dict with these entries.
struct ModuleState {
  NodeId parameters, buffers, modules;
  std::optional<NodeId> non_persistent;
};
std::optional<ModuleState> module_state(Interpreter& interpreter, NodeId object);

// The dict an object's attributes are in: the state itself or the first of (dict, slots).
std::vector<NodeId> attribute_dicts(Interpreter& interpreter, NodeId object);

// Names of the buffers that are not part of the state dict, sorted.
std::vector<std::string_view> hidden_buffers(Interpreter& interpreter, const ModuleState& module);

}  // namespace torchmap
