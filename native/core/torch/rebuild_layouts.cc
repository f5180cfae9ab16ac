// The rebuild functions of tensors that are not one strided view: sparse, nested, jagged, meta,
// wrappers. Source: torch/_utils.py and torch/nested/_internal/nested_tensor.py, v1.13 and v2.13;
// torch/csrc/jit/serialization/pickler.cpp for the C++ forms.
#include "core/torch/geometry.h"
#include "core/torch/interpreter.h"

namespace torchmap {
namespace {

std::optional<Layout> layout_by_name(std::string_view name) {
  if (name.starts_with("torch.")) name.remove_prefix(6);
  for (uint8_t i = 0; i <= static_cast<uint8_t>(Layout::kJagged); ++i) {
    if (layout_name(static_cast<Layout>(i)) == name) return static_cast<Layout>(i);
  }
  return std::nullopt;
}

bool is_row_compressed(Layout layout) {
  return layout == Layout::kSparseCsr || layout == Layout::kSparseBsr;
}

}  // namespace

Result<uint32_t> Interpreter::sparse_from(Layout layout,
                                          std::span<const std::pair<PartRole, NodeId>> parts,
                                          NodeId size, std::optional<bool> coalesced,
                                          bool requires_grad) {
  const auto sizes = integers(size);
  if (!sizes) return wrong("the size of a sparse tensor is no tuple of integers");
  std::vector<Part> rows;
  Tensor tensor;
  tensor.layout = layout;
  for (const auto& [role, node] : parts) {
    TRY_ASSIGN(const uint32_t part, this->tensor(node));
    if (role == PartRole::kValues) {
      // Fewer than two entries cannot be out of order; torch counts them as coalesced.
      const Tensor& values = catalog_.tensors[part];
      if (layout == Layout::kSparseCoo && values.ndim > 0 && catalog_.sizes(values)[0] < 2)
        coalesced = true;
      tensor.dtype = catalog_.tensors[part].dtype;
      tensor.device = catalog_.tensors[part].device;
    } else if (info(catalog_.tensors[part].dtype).kind != DTypeKind::kInt) {
      return wrong("the indices of a sparse tensor are no integers");
    }
    rows.push_back({role, part});
  }
  if (coalesced.value_or(false)) tensor.flags |= kCoalesced;
  if (requires_grad) tensor.flags |= kRequiresGrad;
  std::vector<int64_t> strides(sizes->size());
  contiguous_strides(*sizes, strides);
  return with_parts(tensor, rows, *sizes, strides);
}

// _rebuild_sparse_tensor(layout, (indices, values, size[, is_coalesced]))      COO
// _rebuild_sparse_tensor(layout, (compressed, plain, values, size))            CSR, CSC, BSR, BSC
// _rebuild_sparse_csr_tensor(layout, (crow_indices, col_indices, values, size))
// C++: (layout:int, size, requires_grad, indices|crow, values|col[, values], hooks)
Result<uint32_t> Interpreter::rebuild_sparse(Args args) {
  if (args.size() < 2) return wrong("_rebuild_sparse_tensor needs 2 arguments");
  TRY(resolve(args[0]));
  if (const auto number = integer(args[0])) {
    if (args.size() < 6) return wrong("_rebuild_sparse_tensor of C++ needs 6 arguments");
    const bool requires_grad = boolean(args[2]).value_or(false);
    if (*number == 1) {
      const std::pair<PartRole, NodeId> coo[] = {{PartRole::kIndices, args[3]},
                                                 {PartRole::kValues, args[4]}};
      return sparse_from(Layout::kSparseCoo, coo, args[1], std::nullopt, requires_grad);
    }
    if (*number != 2 || args.size() < 7)
      return Status(Code::kUnsupportedLayout,
                    "sparse layout " + std::to_string(*number) + " of C++ is unknown");
    const std::pair<PartRole, NodeId> csr[] = {{PartRole::kCrowIndices, args[3]},
                                               {PartRole::kColIndices, args[4]},
                                               {PartRole::kValues, args[5]}};
    return sparse_from(Layout::kSparseCsr, csr, args[1], std::nullopt, requires_grad);
  }
  const auto name = text(args[0]);
  const auto layout = name ? layout_by_name(*name) : std::nullopt;
  const auto data = sequence(args[1]);
  if (!layout || !data) return wrong("_rebuild_sparse_tensor has no layout or no data");
  if (*layout == Layout::kSparseCoo) {
    if (data->size() < 3) return wrong("a sparse COO tensor needs indices, values and size");
    const std::pair<PartRole, NodeId> coo[] = {{PartRole::kIndices, (*data)[0]},
                                               {PartRole::kValues, (*data)[1]}};
    const auto coalesced = data->size() > 3 ? boolean((*data)[3]) : std::nullopt;
    return sparse_from(*layout, coo, (*data)[2], coalesced, false);
  }
  if (*layout < Layout::kSparseCsr || *layout > Layout::kSparseBsc || *layout == Layout::kMkldnn) {
    return Status(Code::kUnsupportedLayout,
                  "layout '" + std::string(*name) + "' is none of the sparse ones")
        .about(*name);
  }
  if (data->size() < 4)
    return wrong("a compressed sparse tensor needs two indices, values and size");
  const bool rows = is_row_compressed(*layout);
  const std::pair<PartRole, NodeId> parts[] = {
      {rows ? PartRole::kCrowIndices : PartRole::kCcolIndices, (*data)[0]},
      {rows ? PartRole::kColIndices : PartRole::kRowIndices, (*data)[1]},
      {PartRole::kValues, (*data)[2]}};
  return sparse_from(*layout, parts, (*data)[3], std::nullopt, false);
}

// _rebuild_nested_tensor(buffer, sizes, strides, storage_offsets): offsets are a tensor, or a list
// in old files.
Result<uint32_t> Interpreter::rebuild_nested(Args args) {
  if (args.size() < 4) return wrong("_rebuild_nested_tensor needs 4 arguments");
  TRY_ASSIGN(const uint32_t values, tensor(args[0]));
  TRY_ASSIGN(const uint32_t sizes, tensor(args[1]));
  TRY_ASSIGN(const uint32_t strides, tensor(args[2]));
  std::vector<Part> parts = {
      {PartRole::kValues, values}, {PartRole::kSizes, sizes}, {PartRole::kStrides, strides}};
  Tensor tensor = catalog_.tensors[values];
  if (const auto list = reals(args[3])) {
    Quantizer offsets;  // the one table of plain number lists
    offsets.scales = *list;
    tensor.quantizer = static_cast<uint32_t>(catalog_.quantizers.size());
    catalog_.quantizers.push_back(std::move(offsets));
  } else {
    TRY_ASSIGN(const uint32_t offsets, this->tensor(args[3]));
    parts.push_back({PartRole::kOffsets, offsets});
  }
  // (rows, row dimensions): what the rows have in common is in the bytes of the part `sizes`.
  const Tensor& rows = catalog_.tensors[sizes];
  if (rows.ndim != 2) return wrong("the sizes of a nested tensor are no matrix");
  std::vector<int64_t> shape(
      static_cast<size_t>(std::min<int64_t>(catalog_.sizes(rows)[1], 64)) + 1, -1);
  shape[0] = catalog_.sizes(rows)[0];
  return add_ragged(tensor, parts, shape);
}

// _rebuild_njt({values, offsets, lengths, _ragged_idx, _metadata_cache, requires_grad})
Result<uint32_t> Interpreter::rebuild_jagged(Args args) {
  if (args.empty()) return wrong("_rebuild_njt needs its dict of attributes");
  TRY(resolve(args[0]));
  const NodeId dict = args[0];
  const auto values = entry(dict, "values"), offsets = entry(dict, "offsets"),
             lengths = entry(dict, "lengths");
  if (!values || !offsets) return wrong("a jagged tensor needs values and offsets");
  TRY_ASSIGN(const uint32_t data, tensor(*values));
  TRY_ASSIGN(const uint32_t cuts, tensor(*offsets));
  std::vector<Part> parts = {{PartRole::kValues, data}, {PartRole::kOffsets, cuts}};
  if (lengths && !is_none(*lengths)) {
    TRY_ASSIGN(const uint32_t part, tensor(*lengths));
    parts.push_back({PartRole::kLengths, part});
  }
  Tensor tensor = catalog_.tensors[data];
  tensor.layout = Layout::kJagged;
  const auto requires_grad = entry(dict, "requires_grad");
  if (requires_grad && boolean(*requires_grad).value_or(false)) tensor.flags |= kRequiresGrad;
  // values are (total, ...): the ragged dimension is split into rows, and moves to the place it is
  // said to have.
  const auto ragged = entry(dict, "_ragged_idx");
  const int64_t place = ragged ? integer(*ragged).value_or(1) : 1;
  const Tensor& flat = catalog_.tensors[data];
  const Tensor& ends = catalog_.tensors[cuts];
  if (flat.ndim == 0 || ends.ndim != 1 || place < 1 || place > flat.ndim) {
    return wrong("the parts of a jagged tensor do not fit together");
  }
  std::vector<int64_t> shape(catalog_.sizes(flat), catalog_.sizes(flat) + flat.ndim);
  shape[static_cast<size_t>(place - 1)] = -1;
  shape.insert(shape.begin(), std::max<int64_t>(0, catalog_.sizes(ends)[0] - 1));
  return add_ragged(tensor, parts, shape);
}

// A tensor whose rows differ in size: no storage of its own, no strides.
Result<uint32_t> Interpreter::add_ragged(Tensor tensor, std::span<const Part> parts,
                                         std::span<const int64_t> shape) {
  TRY(charge(2 * shape.size()));
  tensor.storage = kNoIndex;
  tensor.offset = 0;
  tensor.flags = static_cast<uint16_t>((tensor.flags & kRequiresGrad) | kRagged);
  tensor.ndim = static_cast<uint32_t>(shape.size());
  TRY_ASSIGN(tensor.dims, dims(shape, std::vector<int64_t>(shape.size())));
  tensor.parts = static_cast<uint32_t>(catalog_.parts.size());
  tensor.part_count = static_cast<uint32_t>(parts.size());
  catalog_.parts.append(parts.data(), parts.size());
  catalog_.tensors.push(tensor);
  return static_cast<uint32_t>(catalog_.tensors.size() - 1);
}

// _rebuild_meta_tensor_no_storage(dtype, size, stride, requires_grad)
Result<uint32_t> Interpreter::rebuild_meta(Args args) {
  if (args.size() < 4) return wrong("_rebuild_meta_tensor_no_storage needs 4 arguments");
  const GlobalMeaning meant = meaning(args[0]);
  if (meant.kind != GlobalKind::kDType)
    return Status(Code::kUnsupportedDtype, "the tensor's dtype is none this version knows");
  const auto sizes = integers(args[1]), strides = integers(args[2]);
  if (!sizes || !strides) return wrong("the shape or the stride is no tuple of integers");
  Tensor tensor;
  tensor.dtype = meant.dtype;
  tensor.flags = kMeta;
  if (boolean(args[3]).value_or(false)) tensor.flags |= kRequiresGrad;
  tensor.device = catalog_.device("meta");
  return add_tensor(tensor, *sizes, *strides);
}

// _rebuild_wrapper_subclass(cls, dtype, size, stride, storage_offset, layout, device,
// requires_grad)
Result<uint32_t> Interpreter::rebuild_wrapper(Args args) {
  if (args.size() < 8) return wrong("_rebuild_wrapper_subclass needs 8 arguments");
  const GlobalMeaning meant = meaning(args[1]);
  if (meant.kind != GlobalKind::kDType)
    return Status(Code::kUnsupportedDtype, "the tensor's dtype is none this version knows");
  const auto sizes = integers(args[2]), strides = integers(args[3]);
  const auto offset = integer(args[4]);
  if (!sizes || !strides || !offset)
    return wrong("the shape, stride or offset is none of integers");
  TRY(resolve(args[5]));
  TRY(resolve(args[6]));
  Tensor tensor;
  tensor.dtype = meant.dtype;
  tensor.offset = *offset;
  tensor.flags = kWrapper;
  const auto layout = text(args[5]);
  tensor.layout = (layout ? layout_by_name(*layout) : std::nullopt).value_or(Layout::kStrided);
  if (boolean(args[7]).value_or(false)) tensor.flags |= kRequiresGrad;
  if (const auto device = text(args[6])) tensor.device = catalog_.device(*device);
  return add_tensor(tensor, *sizes, *strides);
}

// numpy has no bfloat16, so torch writes such tensors as float32 and narrows them when it reads
// them (torch/_tensor.py, _reduce_ex_internal). The values are bfloat16 ones: dropping bits is
// exact.
Status Interpreter::narrow_to_bfloat16(Tensor& tensor, DType dtype) {
  Storage storage = catalog_.storages[tensor.storage];
  if (dtype != DType::kBFloat16 || tensor.dtype != DType::kFloat32 || storage.swap != 1) {
    return Status(Code::kUnsupportedDtype,
                  "a " + std::string(info(dtype).name) +
                      " tensor is written as a numpy array of another dtype");
  }
  TRY(charge(storage.bytes));
  std::string narrowed(storage.bytes / 2, 0);
  for (uint64_t i = 0; i < narrowed.size(); i += 2)
    std::memcpy(&narrowed[i], storage.memory + 2 * i + 2, 2);
  storage.memory = reinterpret_cast<const std::byte*>(pool_.keep(std::move(narrowed)).data());
  storage.bytes /= 2;
  storage.dtype = dtype;
  tensor.dtype = dtype;
  tensor.storage = static_cast<uint32_t>(catalog_.storages.size());
  catalog_.storages.push_back(storage);
  return {};
}

// _rebuild_device_tensor_from_numpy(array, dtype, device, requires_grad)
Result<uint32_t> Interpreter::rebuild_numpy(Args args) {
  if (args.size() < 4) return wrong("_rebuild_device_tensor_from_numpy needs 4 arguments");
  TRY(resolve(args[0]));
  const Node array = pool_[target(args[0])];
  if (array.tag != Tag::kForeign || static_cast<Foreign>(array.flags) != Foreign::kArray)
    return wrong("a device tensor is made from a value that is no numpy array");
  const uint32_t source = catalog_.arrays[array.a].tensor;
  if (source == kNoIndex)
    return Status(Code::kUnsupportedDtype,
                  "numpy dtype '" + catalog_.arrays[array.a].dtype + "' has no torch dtype");
  const GlobalMeaning meant = meaning(args[1]);
  const DType dtype =
      meant.kind == GlobalKind::kDType ? meant.dtype : catalog_.tensors[source].dtype;
  TRY_ASSIGN(const uint32_t made, copy_of(source, 0, boolean(args[3]).value_or(false)));
  if (dtype != catalog_.tensors[made].dtype) TRY(narrow_to_bfloat16(catalog_.tensors[made], dtype));
  if (const auto device = text(args[2])) catalog_.tensors[made].device = catalog_.device(*device);
  return made;
}

// _rebuild_device_tensor_from_cpu_tensor(data, dtype, device, requires_grad)
Result<uint32_t> Interpreter::rebuild_cpu(Args args) {
  if (args.size() < 4) return wrong("_rebuild_device_tensor_from_cpu_tensor needs 4 arguments");
  TRY_ASSIGN(const uint32_t data, tensor(args[0]));
  TRY_ASSIGN(const uint32_t made, copy_of(data, 0, boolean(args[3]).value_or(false)));
  if (const auto device = text(args[2])) catalog_.tensors[made].device = catalog_.device(*device);
  return made;
}

}  // namespace torchmap
