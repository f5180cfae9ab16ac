// What torch's quantised modules put into their state dict by code of their own.
#pragma once

#include "core/torch/interpreter.h"

namespace torchmap {

struct StateEntry {
  NodeId key, value;
};

// The entries that `module`, a pickled module, adds to its parameters and buffers; mostly none.
// Scales and zero points, which it keeps as numbers, become tensors: new rows of the catalog.
std::vector<StateEntry> quantized_entries(Interpreter& interpreter, NodeId module);

}  // namespace torchmap
