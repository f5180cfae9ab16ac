// The rebuild functions of dense and quantised tensors.
// Source: torch/_utils.py and torch/_tensor.py, v1.13 and v2.13; argument orders as written there.
#include <algorithm>

#include "core/torch/interpreter.h"

namespace torchmap {
namespace {

Status too_few(std::string_view function, size_t needed, size_t given) {
  return Status(Code::kBadTensor, std::string(function) + " needs " + std::to_string(needed) +
                                      " arguments but was given " + std::to_string(given));
}

}  // namespace

Result<uint32_t> Interpreter::rebuild(GlobalKind kind, Args args, NodeId owner) {
  switch (kind) {
    case GlobalKind::kRebuildTensor:
    case GlobalKind::kRebuildTensorV2:
    case GlobalKind::kRebuildTensorV3:
      return rebuild_dense(kind, args);
    case GlobalKind::kRebuildParameter:
    case GlobalKind::kRebuildParameterWithState:
      return rebuild_parameter(kind, args, owner);
    case GlobalKind::kRebuildQTensor:
      return rebuild_quantized(args);
    case GlobalKind::kRebuildSparse:
      return rebuild_sparse(args);
    case GlobalKind::kRebuildNested:
      return rebuild_nested(args);
    case GlobalKind::kRebuildJagged:
      return rebuild_jagged(args);
    case GlobalKind::kRebuildMeta:
      return rebuild_meta(args);
    case GlobalKind::kRebuildWrapper:
      return rebuild_wrapper(args);
    case GlobalKind::kRebuildFromNumpy:
      return rebuild_numpy(args);
    case GlobalKind::kRebuildFromCpu:
      return rebuild_cpu(args);
    case GlobalKind::kRebuildFromType:
      return rebuild_from_type(args, owner);
    default:
      return wrong("the function is none that makes tensors");
  }
}

// A metadata dict holds only {'conj': True} and {'neg': True}; TorchScript wraps it in
// restore_type_tag.
Status Interpreter::read_metadata(NodeId metadata, uint16_t& flags) {
  TRY(resolve(metadata));
  if (is_none(metadata)) return {};
  bool known = true;
  const bool is_dict = each_entry(metadata, [&](NodeId key, NodeId value) {
    const auto name = text(key);
    const auto set = boolean(value);
    if (!name || !set || (*name != "conj" && *name != "neg")) {
      known = false;
    } else if (*set) {
      flags |= *name == "conj" ? kConjugate : kNegative;
    }
  });
  if (!is_dict || !known)
    return wrong("the tensor's metadata is none that torch writes (conj, neg)");
  return {};
}

Result<uint32_t> Interpreter::view(NodeId storage_node, DType dtype, bool has_dtype, NodeId offset,
                                   NodeId size, NodeId stride, uint16_t flags) {
  TRY_ASSIGN(const uint32_t index, storage(storage_node));
  const auto start = integer(offset);
  if (!start) return wrong("the storage offset is no integer");
  int64_t local[2][kLocalDims];
  std::vector<int64_t> longer[2];
  std::span<const int64_t> dims[2];
  for (size_t i = 0; i < 2; ++i) {
    const NodeId node = i == 0 ? size : stride;
    const auto count = few_integers(node, local[i]);
    dims[i] = {local[i], count.value_or(0)};
    if (count) continue;
    auto all = integers(node);
    if (!all) return wrong("the shape or the stride is no tuple of integers");
    longer[i] = std::move(*all);
    dims[i] = longer[i];
  }
  Tensor tensor;
  tensor.storage = index;
  tensor.dtype = has_dtype ? dtype : catalog_.storages[index].dtype;
  tensor.offset = *start;
  tensor.flags = flags;
  return add_tensor(tensor, dims[0], dims[1]);
}

// _rebuild_tensor(storage, storage_offset, size, stride)
// _rebuild_tensor_v2(storage, storage_offset, size, stride, requires_grad, backward_hooks[,
// metadata]) _rebuild_tensor_v3(storage, storage_offset, size, stride, requires_grad,
// backward_hooks, dtype[, metadata])
Result<uint32_t> Interpreter::rebuild_dense(GlobalKind kind, Args given) {
  // Copied, because resolving one argument can move the words that hold the others.
  NodeId copy[8];
  const Args args(copy, std::min(given.size(), std::size(copy)));
  std::copy_n(given.begin(), args.size(), copy);
  const size_t needed = kind == GlobalKind::kRebuildTensor     ? 4
                        : kind == GlobalKind::kRebuildTensorV2 ? 5
                                                               : 7;
  if (args.size() < needed) return too_few("_rebuild_tensor", needed, args.size());
  uint16_t flags = 0;
  if (args.size() > 4 && boolean(args[4]).value_or(false)) flags |= kRequiresGrad;
  DType dtype = DType::kUInt8;
  const bool has_dtype = kind == GlobalKind::kRebuildTensorV3;
  if (has_dtype) {
    const GlobalMeaning meant = meaning(args[6]);
    if (meant.kind != GlobalKind::kDType)
      return Status(Code::kUnsupportedDtype, "the tensor's dtype is none this version knows");
    dtype = meant.dtype;
  }
  const size_t metadata = has_dtype ? 7 : 6;
  if (args.size() > metadata) TRY(read_metadata(args[metadata], flags));
  return view(args[0], dtype, has_dtype, args[1], args[2], args[3], flags);
}

// _rebuild_parameter(data, requires_grad, backward_hooks[, state])
Result<uint32_t> Interpreter::rebuild_parameter(GlobalKind kind, Args args, NodeId owner) {
  if (args.size() < 2) return too_few("_rebuild_parameter", 2, args.size());
  TRY_ASSIGN(const uint32_t data, tensor(args[0]));
  if (kind == GlobalKind::kRebuildParameterWithState && args.size() > 3)
    attach_state(owner, args[3]);
  // Attributes of the inner tensor belong to the parameter around it.
  const NodeId inner = target(args[0]);
  if (inner != owner) {
    for (NodeId state : pool_.list(pool_.extra(inner).states)) attach_state(owner, state);
  }
  return copy_of(data, kIsParameter, boolean(args[1]).value_or(true));
}

// _rebuild_qtensor(storage, storage_offset, size, stride, quantizer_params, requires_grad,
// backward_hooks)
Result<uint32_t> Interpreter::rebuild_quantized(Args args) {
  if (args.size() < 6) return too_few("_rebuild_qtensor", 6, args.size());
  const auto params = sequence(args[4]);
  if (!params || params->size() < 3)
    return wrong("the quantizer's parameters are no tuple of 3 or 4");
  const NodeId scheme_node = target((*params)[0]);
  if (pool_[scheme_node].tag != Tag::kGlobal) return wrong("the quantisation scheme is no global");
  const std::string_view scheme = pool_.globals[pool_[scheme_node].a].name;
  Quantizer quantizer;
  std::vector<Part> parts;
  const bool per_tensor = scheme == "per_tensor_affine" || scheme == "per_tensor_symmetric";
  if (per_tensor) {
    const auto scale = real((*params)[1]), zero_point = real((*params)[2]);
    if (!scale || !zero_point) return wrong("scale or zero point is no number");
    quantizer.scheme =
        scheme == "per_tensor_affine" ? QScheme::kPerTensorAffine : QScheme::kPerTensorSymmetric;
    quantizer.scale = *scale;
    quantizer.zero_point = *zero_point;
  } else if (scheme.starts_with("per_channel_")) {
    quantizer.scheme = scheme == "per_channel_symmetric" ? QScheme::kPerChannelSymmetric
                                                         : QScheme::kPerChannelAffine;
    const auto axis = params->size() > 3 ? integer((*params)[3]) : std::nullopt;
    if (!axis || *axis < 0) return wrong("the quantisation axis is no dimension");
    quantizer.axis = static_cast<uint32_t>(std::min<int64_t>(*axis, UINT32_MAX));
    const auto scales = reals((*params)[1]), zero_points = reals((*params)[2]);
    if (scales && zero_points) {  // old files: lists
      quantizer.scales = *scales;
      quantizer.zero_points = *zero_points;
    } else {
      TRY_ASSIGN(const uint32_t scale, tensor((*params)[1]));
      TRY_ASSIGN(const uint32_t zero, tensor((*params)[2]));
      // torch writes per_channel_affine for float_qparams too; floating zero points tell them
      // apart.
      if (info(catalog_.tensors[zero].dtype).kind == DTypeKind::kFloat)
        quantizer.scheme = QScheme::kPerChannelFloatQParams;
      parts = {{PartRole::kScales, scale}, {PartRole::kZeroPoints, zero}};
    }
  } else {
    return Status(Code::kUnsupportedLayout,
                  "quantisation scheme '" + std::string(scheme) + "' is unknown")
        .about(scheme);
  }

  TRY_ASSIGN(const uint32_t plain, view(args[0], DType::kUInt8, false, args[1], args[2], args[3],
                                        boolean(args[5]).value_or(false) ? kRequiresGrad : 0));
  Tensor& tensor = catalog_.tensors[plain];
  if (info(tensor.dtype).kind != DTypeKind::kQuantized)
    return wrong("a quantised tensor lies on a storage of another kind");
  if (!per_tensor) {
    const uint64_t channels = quantizer.axis < tensor.ndim
                                  ? static_cast<uint64_t>(catalog_.sizes(tensor)[quantizer.axis])
                                  : UINT64_MAX;
    const uint64_t scales =
        parts.empty() ? quantizer.scales.size() : catalog_.tensors[parts[0].tensor].numel;
    const uint64_t zeros =
        parts.empty() ? quantizer.zero_points.size() : catalog_.tensors[parts[1].tensor].numel;
    if (scales != channels || zeros != channels) {
      return wrong("axis " + std::to_string(quantizer.axis) + " has " +
                   (channels == UINT64_MAX ? "no size" : std::to_string(channels) + " channels") +
                   " but there are " + std::to_string(scales) + " scales and " +
                   std::to_string(zeros) + " zero points");
    }
  }
  tensor.quantizer = static_cast<uint32_t>(catalog_.quantizers.size());
  catalog_.quantizers.push_back(std::move(quantizer));
  tensor.parts = static_cast<uint32_t>(catalog_.parts.size());
  tensor.part_count = static_cast<uint32_t>(parts.size());
  catalog_.parts.append(parts.data(), parts.size());
  return plain;
}

// _rebuild_from_type(func, type, args, dict); _rebuild_from_type_v2(func, type, args, state)
Result<uint32_t> Interpreter::rebuild_from_type(Args args, NodeId owner) {
  if (args.size() < 3) return too_few("_rebuild_from_type", 3, args.size());
  const GlobalMeaning function = meaning(args[0]);
  const NodeId inner = target(args[2]);
  if (pool_[inner].tag != Tag::kTuple) return wrong("_rebuild_from_type has no tuple of arguments");
  if (function.kind < GlobalKind::kRebuildTensor || function.kind > GlobalKind::kRebuildFromType)
    return kNoIndex;
  if (++depth_ > 32) {
    --depth_;
    return wrong("_rebuild_from_type is nested too deep");
  }
  const auto span = pool_.tuple(inner);
  const std::vector<uint32_t> inner_args(span.begin(), span.end());
  auto made = rebuild(function.kind, inner_args, owner);
  --depth_;
  if (!made.ok()) return std::move(made).status();
  if (args.size() < 4 || *made == kNoIndex) return made;
  attach_state(owner, args[3]);

  // DTensor keeps this rank's values in its state: (None, {'_local_tensor': tensor, '_spec': ...}).
  if ((catalog_.tensors[*made].flags & kWrapper) == 0) return made;
  std::vector<NodeId> dicts{args[3]};
  if (auto both = sequence(args[3])) dicts = *both;
  for (NodeId dict : dicts) {
    const auto local = entry(dict, "_local_tensor");
    if (!local) continue;
    TRY_ASSIGN(const uint32_t part, tensor(*local));
    Tensor& outer = catalog_.tensors[*made];
    outer.parts = static_cast<uint32_t>(catalog_.parts.size());
    outer.part_count = 1;
    catalog_.parts.push({PartRole::kLocal, part});
  }
  return made;
}

}  // namespace torchmap
