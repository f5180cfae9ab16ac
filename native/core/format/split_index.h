// The index of a checkpoint that is split over several files:
//   {"metadata": {...}, "weight_map": {tensor name: file name, ...}}
// Source: huggingface_hub/serialization/_base.py; transformers/modeling_utils.py.
#pragma once

#include <string>
#include <vector>

#include "core/limits.h"
#include "core/source/source.h"
#include "core/torch/walk.h"

namespace torchmap {

struct SplitIndex {
  std::vector<std::string> files;  // each once, in the order of their first tensors
  Names names;                     // `tensors` holds indexes into `files`
};

// Empty for a file that is something else. kBadIndex when the index is malformed; what the file
// names may lead to is for the caller to check.
Result<std::optional<SplitIndex>> read_split_index(Source& source, const Limits& limits);

}  // namespace torchmap
