// Names for everything that can be reached from the root: dict keys, list indexes and attribute
// names joined with '.'; inside an nn.Module the levels _parameters, _buffers and _modules are left
// out, so the names are the ones torch shows. Source: torch/nn/modules/module.py,
// _save_to_state_dict (v2.13).
//
// A value reachable by two names is named twice. What takes part in a reference cycle is named
// once, under the first path to it: the number of paths through a cyclic graph has no useful bound.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/torch/module.h"
#include "core/torch/names.h"

namespace torchmap {

// What could not be given, and why.
struct Skipped {
  std::string name;
  Code code;
  std::string message;
};

enum class WalkMode : uint8_t {
  kEverything,
  kStateDict,  // of a module only parameters, persistent buffers and submodules
};

// A part of the root whose names begin with `name` instead of its path in the root.
struct Branch {
  std::string name;
  NodeId node;
};

// A dict key as part of a name: text as it is, None, booleans and numbers as Python prints them,
// tuples as (a, 1), any other key as '#' and its position in the dict.
void append_key(std::string& out, Interpreter& interpreter, NodeId key, uint32_t position);

// Names what can be reached from `root`. Tensors that cannot be given for want of support go to
// `skipped`; a broken one is an error that names it. kLimitNames when sharing multiplies names
// without end. Names begin with `prefix` and a dot, unless it is empty.
Status walk(Interpreter& interpreter, NodeId root, WalkMode mode, Names& names,
            std::vector<Skipped>& skipped, std::string_view prefix = {});

}  // namespace torchmap
