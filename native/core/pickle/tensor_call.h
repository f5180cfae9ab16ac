// How torch.save writes a dense tensor, recognised in one step: 32 opcodes that make ten nodes
// nearly nobody looks at. A pool keeps such a call as a reference to its bytes, one node, until
// somebody wants its arguments.
//
//   function ((storage, StorageClass, key, location, numel) as a persistent id, offset, size,
//   stride, requires_grad, OrderedDict())
//
// with the memo's numbers in the order CPython's pickler gives them. A call that is written in any
// other way is decoded like everything else.
// Source: torch/_tensor.py, Tensor._reduce_ex_internal; torch/serialization.py, persistent_id
// (v1.13, v2.13); CPython Modules/_pickle.c, save_tuple, save_reduce (3.14).
#pragma once

#include "core/pickle/nodes.h"

namespace torchmap {

struct TensorCall {
  static constexpr size_t kMostDims = 8;
  static constexpr size_t kLongestKey = 64;

  std::string_view key;  // of the storage
  int64_t numel;         // elements of the storage
  bool has_view;         // legacy: a sixth item of the id, None
  int64_t offset;        // elements
  uint32_t ndim, stride_count;
  int64_t sizes[kMostDims], strides[kMostDims];
  bool requires_grad;
  // Keys of the memo: read, in order ...
  uint32_t word, type, location, hooks;
  // ... and written: put_count ones that follow each other, for the storage's key, the id, the
  // sizes and the strides where they are not empty, the hooks and the arguments.
  uint32_t first_put, put_count;
  uint32_t opcodes;
  const std::byte* end;  // behind REDUCE
};

// Bytes that no call exceeds, and that must be left to read one.
inline constexpr size_t kLongestTensorCall =
    5 * (4 + 6 + 2 * TensorCall::kMostDims + 2) + 5 + TensorCall::kLongestKey + 32;

// Reads the call whose arguments begin with the two marks at `at`; false for anything else.
bool read_tensor_call(const std::byte* at, const std::byte* end, TensorCall& call);

}  // namespace torchmap
