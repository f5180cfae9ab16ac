// Turns what the pickle asked for into values: calls of known globals become tensors, storages and
// plain Python values; all other calls stay as they are, inert. Nothing is executed.
//
// Works on demand, from the walk over the root, so that only what can be reached is looked at. A
// node is rewritten in place once it is known: tensors to kForeign, values to their own tag, names
// for another value to kAlias; a call that stays an object keeps its tag and gets a Meaning in
// `aux`.
#pragma once

#include <functional>

#include "core/limits.h"
#include "core/status.h"
#include "core/torch/catalog.h"
#include "core/torch/globals.h"
#include "core/torch/script.h"

namespace torchmap {

// Node::flags of a kForeign node; `a` is the index in the catalog.
enum class Foreign : uint8_t { kTensor, kArray, kStorage, kComplex };

// Node::aux of a kCall or kPersistent node.
enum class Meaning : uint16_t {
  kUnknown,
  kBusy,  // being looked at
  kObject,
  kMapping,   // entries: the arguments' pairs, then what SETITEMS added
  kSet,       // items of the first argument, then what ADDITEMS added
  kSequence,  // items of the first argument, then what APPENDS added
  kSkipped,   // an object that would be a tensor, but there is a reason why it cannot be given
};

class Interpreter;

// A numpy dtype as pickled.
struct NumpyType {
  std::string descriptor;      // "<f4", "|S3", "<M8[ns]", or a list of fields
  std::string code;            // "f4"
  char order = '|';            // '<', '>' or '|' for none
  uint64_t itemsize = 0;       // bytes of one element
  std::optional<DType> dtype;  // where torch has the same
  std::vector<int64_t> shape;  // of a field that is itself an array
};

// What a persistent id stands for; each container has its own rules.
struct Persistent {
  enum Kind : uint8_t { kStorage, kTensor, kAlias, kObject } kind = kObject;
  uint32_t index = 0;  // storage, tensor or node
};
// What the id of a storage says of it.
struct StorageId {
  GlobalMeaning meant;  // its class
  std::string_view key, location;
  int64_t numel = 0;  // elements
};
class PersistentIds {
 public:
  virtual ~PersistentIds() = default;
  virtual Result<Persistent> resolve(Interpreter& interpreter, NodeId id) = 0;
  // The storage that `id` names, without nodes for it; `owner` is the node that holds the id.
  // kNoIndex where ids mean something else here.
  virtual Result<uint32_t> resolve_storage(Interpreter&, NodeId owner, const StorageId& id) {
    (void)owner, (void)id;
    return kNoIndex;
  }
};

// Persistent ids have no meaning in a plain pickle, and there are none without a pickle.
class NoPersistentIds final : public PersistentIds {
 public:
  Result<Persistent> resolve(Interpreter&, NodeId) override { return Persistent{}; }
};

class Interpreter {
 public:
  // Reads the legacy stream inside `bytes` that torch.storage._load_from_bytes is given.
  using NestedLoader = std::function<Result<Storage>(std::string_view bytes)>;

  Interpreter(Pool& pool, Catalog& catalog, PersistentIds& persistent, const Limits& limits)
      : pool_(pool),
        catalog_(catalog),
        persistent_(persistent),
        limits_(limits),
        size_(pool.nodes.size() + pool.words.size() + pool.pickle_bytes),
        allowance_(work_allowance(limits_, size_)) {}

  // Makes the node (and what it needs) final. Errors leave it as an object; kUnsupported* and
  // kBad* say why it is not the tensor it was meant to be.
  Status resolve(NodeId id);

  // The node a resolved one stands for.
  NodeId target(NodeId id) const { return pool_.target(id); }

  GlobalMeaning meaning(NodeId global_node);

  // Counts work that sharing can multiply (a shared argument is copied for each call that names it)
  // in words or bytes. kLimitWork beyond what any real file needs for its size.
  Status charge(uint64_t amount);

  // The storage a kTensorCall node names; kNoIndex where only its arguments can tell.
  Result<uint32_t> storage_of_call(NodeId id);
  // The storage behind a node that must be one.
  Result<uint32_t> storage(NodeId id);
  // The tensor behind a node that must be one.
  Result<uint32_t> tensor(NodeId id);

  // Adds a strided tensor after checking its geometry against the storage.
  Result<uint32_t> dims(std::span<const int64_t> sizes, std::span<const int64_t> strides);
  Result<uint32_t> add_tensor(const Tensor& like, std::span<const int64_t> sizes,
                              std::span<const int64_t> strides);

  // Tensors whose bytes the file has lost are skipped from here on, instead of failing the walk.
  void skip_what_is_lost() { skips_lost_ = true; }
  // Whether a tensor that fails with this code is skipped.
  bool may_skip(Code code) const;
  // Why the storage's bytes are lost, if they are.
  Status lost(uint32_t storage) const;
  // A vector over all of a storage that is no tensor in the file, made once; kNoIndex when that
  // cannot be.
  uint32_t bare_tensor(uint32_t storage);

  void set_nested_loader(NestedLoader loader) { load_nested_ = std::move(loader); }

  // What the archive's code says of its classes; valid as long as this.
  void set_script_classes(const ScriptClasses* classes) { script_classes_ = classes; }
  // Whether a node is an object of a TorchScript class.
  bool is_script(NodeId id) const;
  // What is known of that class, or null.
  const ScriptClass* script_class(NodeId id) const;

  Pool& pool() { return pool_; }
  Catalog& catalog() { return catalog_; }
  const Limits& limits() const { return limits_; }

  // --- reading arguments (arguments.cc) ---
  bool is_none(NodeId id) const { return pool_[target(id)].tag == Tag::kNone; }
  std::optional<int64_t> integer(NodeId id) const;
  std::optional<double> real(NodeId id) const;
  std::optional<bool> boolean(NodeId id) const;
  std::optional<std::string_view> text(NodeId id) const;
  // The items of a tuple, list or torch.Size; nothing for anything else.
  std::optional<std::vector<NodeId>> sequence(NodeId id);
  // At most how many entries each_entry() visits of a plain dict, or of what was set in a mapping.
  uint32_t entry_count(NodeId dict) const {
    dict = target(dict);
    return (pool_[dict].tag == Tag::kDict ? pool_[dict].a : pool_.extra(dict).entries.count) / 2;
  }
  // The first `most` items of a tuple; those of a list if it has no more. Resolves nothing.
  std::vector<NodeId> first_items(NodeId id, uint32_t most) const;
  std::vector<NodeId> all_items(NodeId id) const { return first_items(id, UINT32_MAX); }
  std::optional<std::vector<int64_t>> integers(NodeId id);
  // The integers of a short tuple, without a vector; nothing for anything else.
  static constexpr size_t kLocalDims = 8;
  std::optional<size_t> few_integers(NodeId id, int64_t (&out)[kLocalDims]) const;
  std::optional<std::vector<double>> reals(NodeId id);
  // The value of a string key in a dict or mapping, the last one given; nothing when it is not
  // there.
  std::optional<NodeId> entry(NodeId dict, std::string_view key);
  // Calls visit(key, value) for each entry of a dict, or of a call that makes one; false for
  // anything else.
  template <typename Visit>
  bool each_entry(NodeId dict, Visit&& visit);

 private:
  using Args = std::span<const uint32_t>;

  Status resolve_call(NodeId id);
  Result<bool> resolve_tensor_call(NodeId id);
  Result<uint32_t> storage_of(NodeId id, const TensorCall& call);
  Status resolve_value(NodeId id, GlobalKind kind, Args args);       // values.cc
  Status resolve_object(NodeId id, GlobalMeaning meant, Args args);  // rebuild_old.cc

  // A tensor-making function of torch._utils and its arguments; `callable` names it in messages.
  Result<uint32_t> rebuild(GlobalKind kind, Args args, NodeId owner);
  Result<uint32_t> rebuild_dense(GlobalKind kind, Args args);
  Result<uint32_t> rebuild_parameter(GlobalKind kind, Args args, NodeId owner);
  Result<uint32_t> rebuild_quantized(Args args);
  Result<uint32_t> rebuild_from_type(Args args, NodeId owner);
  Result<uint32_t> rebuild_sparse(Args args);
  Result<uint32_t> rebuild_nested(Args args);
  Result<uint32_t> rebuild_jagged(Args args);
  Result<uint32_t> rebuild_meta(Args args);
  Result<uint32_t> rebuild_wrapper(Args args);
  Result<uint32_t> rebuild_numpy(Args args);
  Result<uint32_t> rebuild_cpu(Args args);
  Status narrow_to_bfloat16(Tensor& tensor, DType dtype);
  Result<uint32_t> sparse_from(Layout layout, std::span<const std::pair<PartRole, NodeId>> parts,
                               NodeId size, std::optional<bool> coalesced, bool requires_grad);
  Result<uint32_t> state_tensor(GlobalMeaning meant, Args args, NodeId state);
  Status load_from_bytes(NodeId id, Args args);

  Result<uint32_t> view(NodeId storage, DType dtype, bool has_dtype, NodeId offset, NodeId size,
                        NodeId stride, uint16_t flags);
  Result<uint32_t> with_parts(Tensor tensor, std::span<const Part> parts,
                              std::span<const int64_t> sizes, std::span<const int64_t> strides);
  Result<uint32_t> add_ragged(Tensor tensor, std::span<const Part> parts,
                              std::span<const int64_t> shape);
  Result<uint32_t> copy_of(uint32_t tensor, uint16_t set_flags, bool requires_grad);
  Status read_metadata(NodeId metadata, uint16_t& flags);
  void attach_state(NodeId owner, NodeId state);

  // numpy.cc
  Status numpy_reconstruct(NodeId id);
  Status resolve_numpy(NodeId id, GlobalKind kind, Args args);
  Status numpy_scalar(NodeId id, Args args);
  Status numpy_frombuffer(NodeId id, Args args);
  Result<NumpyType> numpy_type(NodeId dtype, int depth);
  Result<std::string> numpy_fields(const std::vector<NodeId>& names, NodeId fields, int depth);
  Status numpy_array(NodeId id, const NumpyType& type, std::vector<int64_t> shape, bool fortran,
                     NodeId data);
  Status numpy_text(NodeId id, std::string_view raw, bool big_endian);
  Result<std::string_view> raw_bytes(NodeId id);

  void become(NodeId id, Foreign kind, uint32_t index);
  void become_alias(NodeId id, NodeId of);
  void become_value(NodeId id, const Node& value) { pool_[id] = value; }
  Status wrong(std::string_view what);

  Pool& pool_;
  Catalog& catalog_;
  PersistentIds& persistent_;
  const Limits limits_;
  std::vector<GlobalMeaning> meanings_;
  std::vector<bool> meaning_known_;
  // What the tensor calls of a context say, once one was looked at.
  struct CallContext {
    bool known = false, makes_tensors = false;
    GlobalMeaning type;
    std::string_view location;
  };
  const CallContext& call_context(uint32_t index);
  std::vector<CallContext> call_contexts_;
  std::vector<uint32_t> bare_;  // storage -> tensor that stands for it
  uint64_t spent_ = 0;
  const uint64_t size_;  // of what was decoded: nodes, words and bytes
  const uint64_t allowance_;
  NestedLoader load_nested_;
  const ScriptClasses* script_classes_ = nullptr;
  uint32_t depth_ = 0;
  bool skips_lost_ = false;
  std::map<NodeId, Failure> failures_;  // of nodes with Meaning::kSkipped
};

template <typename Visit>
bool Interpreter::each_entry(NodeId dict, Visit&& visit) {
  dict = target(dict);
  const auto pairs = [&](const Items& items) {
    NodeId key = 0;
    bool is_value = false;
    pool_.each(items, [&](uint32_t word) {
      if (is_value) visit(key, word);
      key = word;
      is_value = !is_value;
    });
  };
  if (pool_[dict].tag == Tag::kDict) {
    pairs(Pool::items_of(pool_[dict]));
    return true;
  }
  if (pool_[dict].tag != Tag::kCall || static_cast<Meaning>(pool_[dict].aux) != Meaning::kMapping) {
    return false;
  }
  // OrderedDict([[k, v], ...]), Counter({k: v}), defaultdict(factory, {k: v}): the argument first,
  // then what was set later. Copied, because what is visited may move the words.
  for (NodeId argument : first_items(pool_[dict].b, 2)) {
    argument = target(argument);
    if (pool_[argument].tag == Tag::kDict) pairs(Pool::items_of(pool_[argument]));
    if (pool_[argument].tag != Tag::kList) continue;
    pool_.each(Pool::items_of(pool_[argument]), [&](uint32_t pair) {
      const std::vector<NodeId> items = first_items(pair, 3);
      if (items.size() == 2) visit(items[0], items[1]);
    });
  }
  pairs(pool_.extra(dict).entries);
  return true;
}

}  // namespace torchmap
