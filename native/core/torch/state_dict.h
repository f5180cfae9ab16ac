// Finds the weights inside whatever was saved.
#pragma once

#include "core/torch/walk.h"

namespace torchmap {

// The names torch's state_dict() would give, from the branch of the root that holds the weights:
// the well-known wrappers first ({'state_dict': ..., 'epoch': 3}), else the root itself. With
// `from`, the branch at that path ("optimizer", "callbacks.0"); kNoSuchTensor when there is none.
Status state_dict(Interpreter& interpreter, NodeId root, std::optional<std::string_view> from,
                  Names& names);

// The one entry of a dict that can hold weights: of those that are modules, else of those that are
// mappings of tensors. The dict itself where there are several or none.
NodeId only_weights(Interpreter& interpreter, NodeId root);

}  // namespace torchmap
