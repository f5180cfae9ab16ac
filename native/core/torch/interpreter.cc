#include "core/torch/interpreter.h"

#include <algorithm>

#include "core/pickle/tensor_call.h"
#include "core/torch/geometry.h"

namespace torchmap {
namespace {

// Calls inside calls (a parameter around a tensor around a storage ...) go this deep at most; real
// files need 4.
constexpr uint32_t kDeepestCall = 32;

void set_meaning(Node& node, Meaning meaning) { node.aux = static_cast<uint16_t>(meaning); }

}  // namespace

GlobalMeaning Interpreter::meaning(NodeId id) {
  id = target(id);
  if (pool_[id].tag == Tag::kPersistent) {
    if (!resolve(id).ok()) return {};
    id = target(id);
  }
  if (pool_[id].tag != Tag::kGlobal) return {};
  const uint32_t index = pool_[id].a;
  if (index >= meanings_.size()) {
    meanings_.resize(pool_.globals.size());
    meaning_known_.resize(pool_.globals.size());
  }
  if (!meaning_known_[index]) {
    meanings_[index] = classify_global(pool_.globals[index].module, pool_.globals[index].name);
    meaning_known_[index] = true;
  }
  return meanings_[index];
}

Status Interpreter::wrong(std::string_view what) {
  return Status(Code::kBadTensor, std::string(what));
}

void Interpreter::become(NodeId id, Foreign kind, uint32_t index) {
  Node& node = pool_[id];
  const uint32_t extra = node.tag >= Tag::kGlobal ? node.c : 0;
  node = Node::words(Tag::kForeign, index, 0, extra, static_cast<uint8_t>(kind));
}

void Interpreter::become_alias(NodeId id, NodeId of) {
  of = target(of);
  if (of == id) return;
  pool_[id] = Node::words(Tag::kAlias, of, 0, 0);
}

void Interpreter::attach_state(NodeId owner, NodeId state) {
  if (!is_none(state)) pool_.append(pool_.make_extra(owner).states, &state, 1);
}

Status Interpreter::resolve(NodeId id) {
  id = target(id);
  if (pool_[id].tag == Tag::kTensorCall) {
    auto made = resolve_tensor_call(id);
    if (made.ok() && *made) return {};
    // What is wrong with it is said of the call and its arguments.
    if (!pool_.unpack(id)) {
      return limit_reached(Code::kLimitNodes, "nodes", limits_.nodes, pool_.nodes.size());
    }
  }
  Node& node = pool_[id];
  if (node.tag != Tag::kCall && node.tag != Tag::kPersistent) return {};
  if (static_cast<Meaning>(node.aux) == Meaning::kBusy)
    return wrong("a tensor is made from itself");
  if (static_cast<Meaning>(node.aux) == Meaning::kSkipped) {
    const auto known = failures_.find(id);
    return known == failures_.end() ? Status() : Status(known->second);
  }
  if (static_cast<Meaning>(node.aux) != Meaning::kUnknown) return {};
  if (depth_ == kDeepestCall)
    return wrong("calls are nested deeper than " + std::to_string(kDeepestCall) + " levels");
  set_meaning(node, Meaning::kBusy);
  ++depth_;
  Status status;
  if (node.tag == Tag::kCall) {
    status = resolve_call(id);
  } else {
    auto found = persistent_.resolve(*this, id);
    if (!found.ok()) {
      status = std::move(found).status();
    } else if (found->kind == Persistent::kStorage) {
      become(id, Foreign::kStorage, found->index);
    } else if (found->kind == Persistent::kTensor) {
      become(id, Foreign::kTensor, found->index);
    } else if (found->kind == Persistent::kAlias) {
      status = resolve(found->index);
      become_alias(id, found->index);
    }
  }
  --depth_;
  Node& after = pool_[id];
  if ((after.tag == Tag::kCall || after.tag == Tag::kPersistent) &&
      static_cast<Meaning>(after.aux) == Meaning::kBusy) {
    set_meaning(after, status.ok() ? Meaning::kObject : Meaning::kSkipped);
    if (!status.ok()) failures_.emplace(id, status.failure());
  }
  return status;
}

Result<uint32_t> Interpreter::storage_of_call(NodeId id) {
  return storage_of(id, pool_.tensor_call(id));
}

const Interpreter::CallContext& Interpreter::call_context(uint32_t index) {
  if (index >= call_contexts_.size()) call_contexts_.resize(pool_.contexts.size());
  CallContext& known = call_contexts_[index];
  if (!known.known) {
    const TensorContext& context = pool_.contexts[index];
    known = {true,
             meaning(context.function).kind == GlobalKind::kRebuildTensorV2 &&
                 text(context.word) == "storage",
             meaning(context.type), pool_[context.location].text()};
  }
  return known;
}

Result<uint32_t> Interpreter::storage_of(NodeId id, const TensorCall& call) {
  const CallContext& context = call_context(pool_[id].b);
  if (!context.makes_tensors) return kNoIndex;
  TRY(charge(call.put_count));
  return persistent_.resolve_storage(*this, id,
                                     {context.type, call.key, context.location, call.numel});
}

// The tensor of a call that is kept as its bytes; false where only its arguments can tell.
Result<bool> Interpreter::resolve_tensor_call(NodeId id) {
  const TensorCall call = pool_.tensor_call(id);
  Tensor tensor;
  TRY_ASSIGN(tensor.storage, storage_of(id, call));
  if (tensor.storage == kNoIndex) return false;
  tensor.dtype = catalog_.storages[tensor.storage].dtype;
  tensor.offset = call.offset;
  if (call.requires_grad) tensor.flags = kRequiresGrad;
  TRY_ASSIGN(const uint32_t row,
             add_tensor(tensor, {call.sizes, call.ndim}, {call.strides, call.stride_count}));
  become(id, Foreign::kTensor, row);
  return true;
}

Status Interpreter::resolve_call(NodeId id) {
  const GlobalMeaning meant = meaning(pool_[id].a);
  NodeId arguments = target(pool_[id].b);
  if (pool_[arguments].tag != Tag::kTuple) return {};
  if (meant.kind != GlobalKind::kUnknown) TRY(charge(pool_[arguments].a));
  const auto args_copy = [&] {
    const auto span = pool_.tuple(arguments);
    return std::vector<uint32_t>(span.begin(), span.end());
  };
  switch (meant.kind) {
    case GlobalKind::kUnknown:
    case GlobalKind::kInert:
      return {};
    // The hot path of every modern checkpoint: no copy of the arguments, whose words do not move
    // here.
    case GlobalKind::kRebuildTensorV2:
    case GlobalKind::kRebuildTensor:
    case GlobalKind::kRebuildTensorV3: {
      TRY_ASSIGN(uint32_t tensor, rebuild_dense(meant.kind, pool_.tuple(arguments)));
      become(id, Foreign::kTensor, tensor);
      return {};
    }
    case GlobalKind::kRebuildParameter:
    case GlobalKind::kRebuildParameterWithState:
    case GlobalKind::kRebuildQTensor:
    case GlobalKind::kRebuildSparse:
    case GlobalKind::kRebuildNested:
    case GlobalKind::kRebuildJagged:
    case GlobalKind::kRebuildMeta:
    case GlobalKind::kRebuildWrapper:
    case GlobalKind::kRebuildFromNumpy:
    case GlobalKind::kRebuildFromCpu:
    case GlobalKind::kRebuildFromType: {
      const std::vector<uint32_t> args = args_copy();
      TRY_ASSIGN(uint32_t tensor, rebuild(meant.kind, args, id));
      if (tensor != kNoIndex) become(id, Foreign::kTensor, tensor);
      return {};
    }
    case GlobalKind::kParameter:
    case GlobalKind::kVariable:
    case GlobalKind::kTensor:
    case GlobalKind::kTypedTensor:
    case GlobalKind::kSparseTensor:
    case GlobalKind::kUninitialized:
      return resolve_object(id, meant, args_copy());
    default:
      return resolve_value(id, meant.kind, args_copy());
  }
}

bool Interpreter::may_skip(Code code) const {
  if (code_name(code).starts_with("UNSUPPORTED_")) return true;
  return skips_lost_ && (code == Code::kTruncated || code == Code::kChecksumMismatch);
}

Status Interpreter::lost(uint32_t storage) const {
  const auto known = catalog_.lost.find(storage);
  if (known == catalog_.lost.end()) return {};
  return Status(Code::kTruncated, known->second);
}

bool Interpreter::is_script(NodeId id) const {
  const Node& object = pool_[target(id)];
  if (object.tag != Tag::kCall) return false;
  const Node& type = pool_[target(object.a)];
  return type.tag == Tag::kGlobal && is_script_module(pool_.globals[type.a].module);
}

const ScriptClass* Interpreter::script_class(NodeId id) const {
  if (!is_script(id)) return nullptr;
  const uint32_t global = pool_[target(pool_[target(id)].a)].a;
  // Classes of C++ (torch::class_) have no code, and are no modules.
  static const ScriptClass built_in;
  if (pool_.globals[global].module.starts_with("__torch__.torch.classes")) return &built_in;
  return script_classes_ == nullptr ? nullptr : script_classes_->find(global);
}

Status Interpreter::charge(uint64_t amount) {
  if (amount <= allowance_ - spent_) {
    spent_ += amount;
    return {};
  }
  return limit_reached(Code::kLimitWork, "work", limits_.work, limits_.work + amount / size_ + 1);
}

Result<uint32_t> Interpreter::storage(NodeId id) {
  TRY(resolve(id));
  const Node& node = pool_[target(id)];
  if (node.tag != Tag::kForeign || static_cast<Foreign>(node.flags) != Foreign::kStorage)
    return wrong("a tensor is made from a value that is no storage");
  return node.a;
}

Result<uint32_t> Interpreter::tensor(NodeId id) {
  TRY(resolve(id));
  const Node& node = pool_[target(id)];
  if (node.tag != Tag::kForeign || static_cast<Foreign>(node.flags) != Foreign::kTensor)
    return wrong("a tensor is made from a value that is no tensor");
  return node.a;
}

Result<uint32_t> Interpreter::dims(std::span<const int64_t> sizes,
                                   std::span<const int64_t> strides) {
  const uint32_t place = catalog_.add_dims(sizes, strides);
  if (place != kNoIndex) return place;
  return limit_reached(Code::kLimitNodes, "nodes", limits_.nodes, catalog_.dims.size());
}

Result<uint32_t> Interpreter::add_tensor(const Tensor& like, std::span<const int64_t> sizes,
                                         std::span<const int64_t> strides) {
  TRY_ASSIGN(Geometry geometry, check_geometry(like.offset, sizes, strides));
  uint16_t flags = like.flags;
  uint32_t device = like.device;
  if (geometry.contiguous) flags |= kContiguous;
  if (like.storage != kNoIndex) {
    TRY(lost(like.storage));
    Storage& storage = catalog_.storages[like.storage];
    device = storage.device;
    if (storage.place == StoragePlace::kNowhere) flags |= kMeta;
    const uint64_t have = storage.bytes;
    const auto needed =
        checked_mul(packed_elements(like.dtype, geometry.extent), info(like.dtype).bytes);
    if (geometry.numel > 0 && (!needed || *needed > have) &&
        storage.place != StoragePlace::kNowhere) {
      return wrong("the tensor needs " +
                   (needed ? std::to_string(*needed) : std::string("more than 2^64")) +
                   " bytes of storage '" + std::string(storage.key) + "', which has " +
                   std::to_string(have));
    }
    // Bytes of an untyped storage have no order of their own; the first tensor over them says what
    // they are.
    if (storage.untyped && storage.swap == 0) storage.swap = info(like.dtype).swap;
  }
  TRY(charge(2 * sizes.size()));
  TRY_ASSIGN(const uint32_t place, dims(sizes, strides));
  catalog_.tensors.push(like);
  Tensor& tensor = catalog_.tensors[catalog_.tensors.size() - 1];
  tensor.numel = geometry.numel;
  tensor.ndim = static_cast<uint32_t>(sizes.size());
  tensor.flags = flags;
  tensor.device = device;
  tensor.dims = place;
  return static_cast<uint32_t>(catalog_.tensors.size() - 1);
}

uint32_t Interpreter::bare_tensor(uint32_t storage) {
  if (storage >= bare_.size()) bare_.resize(catalog_.storages.size(), kNoIndex);
  if (bare_[storage] != kNoIndex) return bare_[storage];
  const Storage& row = catalog_.storages[storage];
  Tensor tensor;
  tensor.dtype = row.dtype;
  tensor.storage = storage;
  tensor.flags = kBareStorage;
  const auto count = static_cast<int64_t>(row.bytes / info(row.dtype).bytes *
                                          (8u * info(row.dtype).bytes / info(row.dtype).bits));
  const int64_t one = 1;
  auto made = add_tensor(tensor, {&count, 1}, {&one, 1});
  return bare_[storage] = made.ok() ? *made : kNoIndex;
}

Result<uint32_t> Interpreter::with_parts(Tensor tensor, std::span<const Part> parts,
                                         std::span<const int64_t> sizes,
                                         std::span<const int64_t> strides) {
  tensor.parts = static_cast<uint32_t>(catalog_.parts.size());
  tensor.part_count = static_cast<uint32_t>(parts.size());
  catalog_.parts.append(parts.data(), parts.size());
  return add_tensor(tensor, sizes, strides);
}

Result<uint32_t> Interpreter::copy_of(uint32_t tensor, uint16_t set_flags, bool requires_grad) {
  Tensor copy = catalog_.tensors[tensor];
  copy.flags = static_cast<uint16_t>((copy.flags & ~kRequiresGrad) | set_flags |
                                     (requires_grad ? kRequiresGrad : 0));
  catalog_.tensors.push(copy);
  return static_cast<uint32_t>(catalog_.tensors.size() - 1);
}

}  // namespace torchmap
