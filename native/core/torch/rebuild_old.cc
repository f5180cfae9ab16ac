// Tensors of torch 0.1 to 0.3 and lazy modules: objects whose content comes by BUILD.
// Source: torch/_tensor.py, Tensor.__setstate__ ("legacy serialization"), and torch 0.3's
// torch/tensor.py.
#include "core/torch/interpreter.h"

namespace torchmap {

// The state is one of
//   (storage, storage_offset, size, stride)                              a tensor
//   (data, grad, backward_hooks, requires_grad, volatile)                a variable or parameter
//   (requires_grad, volatile, backward_hooks)                            one whose data came as an
//   argument (grad, backward_hooks)                                               a parameter of
//   some 0.1 builds
Result<uint32_t> Interpreter::state_tensor(GlobalMeaning meant, Args args, NodeId state) {
  const auto items = sequence(state);
  if (!items) return wrong("the state of an old tensor is no tuple");
  const bool typed = meant.kind == GlobalKind::kTypedTensor;
  if (items->size() == 4) {
    TRY_ASSIGN(const uint32_t made,
               view((*items)[0], meant.dtype, typed, (*items)[1], (*items)[2], (*items)[3], 0));
    return made;
  }
  if (items->size() == 5) {
    TRY_ASSIGN(const uint32_t data, tensor((*items)[0]));
    return copy_of(data, 0, boolean((*items)[3]).value_or(false));
  }
  if (args.empty())
    return wrong("the state of an old tensor has " + std::to_string(items->size()) +
                 " items and there is no data");
  TRY_ASSIGN(const uint32_t data, tensor(args[0]));
  const bool by_argument = args.size() > 1 && boolean(args[1]).value_or(false);
  return copy_of(data, 0, items->size() == 3 ? boolean((*items)[0]).value_or(false) : by_argument);
}

Status Interpreter::resolve_object(NodeId id, GlobalMeaning meant, Args args) {
  if (meant.kind == GlobalKind::kUninitialized) {
    return Status(Code::kUnsupportedLayout,
                  "a parameter of a lazy module that has no shape and no bytes yet")
        .about("uninitialized");
  }
  if (meant.kind == GlobalKind::kSparseTensor) {
    if (args.size() < 3) return wrong("an old sparse tensor needs indices, values and size");
    const std::pair<PartRole, NodeId> coo[] = {{PartRole::kIndices, args[0]},
                                               {PartRole::kValues, args[1]}};
    TRY_ASSIGN(const uint32_t made,
               sparse_from(Layout::kSparseCoo, coo, args[2], std::nullopt, false));
    become(id, Foreign::kTensor, made);
    return {};
  }
  const std::vector<uint32_t> states = pool_.list(pool_.extra(id).states);
  uint32_t made;
  if (!states.empty()) {
    TRY_ASSIGN(made, state_tensor(meant, args, states.back()));
    if (pool_[id].c != 0)
      pool_.extras[pool_[id].c].states = {};  // it is the tensor, not attributes of it
  } else if (args.empty() && meant.kind != GlobalKind::kParameter &&
             meant.kind != GlobalKind::kVariable) {
    Tensor empty;
    empty.dtype = meant.kind == GlobalKind::kTypedTensor ? meant.dtype : DType::kFloat32;
    empty.device = catalog_.device("cpu");
    const int64_t none = 0, one = 1;
    TRY_ASSIGN(made, add_tensor(empty, {&none, 1}, {&one, 1}));
  } else if (!args.empty()) {
    TRY_ASSIGN(const uint32_t data, tensor(args[0]));
    const bool by_default = meant.kind == GlobalKind::kParameter;
    TRY_ASSIGN(made, copy_of(data, 0,
                             args.size() > 1 ? boolean(args[1]).value_or(by_default) : by_default));
  } else {
    return wrong("an old parameter has neither data nor state");
  }
  if (meant.kind == GlobalKind::kParameter) catalog_.tensors[made].flags |= kIsParameter;
  become(id, Foreign::kTensor, made);
  return {};
}

}  // namespace torchmap
