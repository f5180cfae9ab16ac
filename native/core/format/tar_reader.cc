#include "core/format/tar_reader.h"

#include "core/pickle/literals.h"
#include "core/torch/geometry.h"
#include "core/torch/globals.h"

namespace torchmap {
namespace {

// A persistent id is the key of a tensor or storage (a number, or its digits), or a tuple that
// begins with a class.
class TarIds final : public PersistentIds {
 public:
  TarIds(std::map<int64_t, uint32_t> storages, std::map<int64_t, uint32_t> tensors)
      : storages_(std::move(storages)), tensors_(std::move(tensors)) {}

  Result<Persistent> resolve(Interpreter& interpreter, NodeId node) override {
    const NodeId id = interpreter.target(interpreter.pool()[node].a);
    if (const auto items = interpreter.sequence(id); items && !items->empty())
      return Persistent{Persistent::kAlias, (*items)[0]};
    std::optional<int64_t> key = interpreter.integer(id);
    if (!key) {
      const auto digits = interpreter.text(id);
      const auto parsed = digits ? parse_integer(*digits, false) : std::nullopt;
      if (parsed && parsed->tag == Tag::kInt) key = parsed->integer;
    }
    if (!key) return Persistent{};
    if (const auto found = tensors_.find(*key); found != tensors_.end())
      return Persistent{Persistent::kTensor, found->second};
    if (const auto found = storages_.find(*key); found != storages_.end())
      return Persistent{Persistent::kStorage, found->second};
    return Status(Code::kBadTensor, "tensor " + std::to_string(*key) + " is not in the archive");
  }

 private:
  std::map<int64_t, uint32_t> storages_, tensors_;
};

}  // namespace

Result<PickleStream> TarReader::member(const std::vector<TarMember>& members,
                                       std::string_view name) {
  for (const TarMember& row : members) {
    if (row.name != name) continue;
    return PickleStream(*checkpoint_.source_, row.offset, row.offset + row.size, options_.limits,
                        options_.cancelled);
  }
  return Status(Code::kNotACheckpoint, "the file is a tar archive without a member '" +
                                           std::string(name) + "', so no checkpoint of torch 0.1")
      .in(name);
}

Result<std::vector<NodeId>> TarReader::tuple(PickleStream& stream, std::unique_ptr<Pool>& pool,
                                             size_t length) {
  const uint64_t at = stream.position();
  TRY_ASSIGN(const Decoded decoded, stream.next(pool));
  const Node& node = (*pool)[decoded.root];
  if (node.tag != Tag::kTuple || node.a != length) {
    return Status(Code::kBadRecord,
                  "a header of the archive is no tuple of " + std::to_string(length))
        .at(at);
  }
  const auto items = pool->tuple(decoded.root);
  return std::vector<NodeId>(items.begin(), items.end());
}

// pickle n; n times: pickle (key, location, class), int64 numel, elements; then pickle of views
// (key, root, offset, numel).
Status TarReader::read_storages(PickleStream stream) {
  Catalog& catalog = checkpoint_.catalog_;
  std::unique_ptr<Pool> pool;
  TRY_ASSIGN(const Decoded count, stream.next(pool));
  const Node& number = (*pool)[count.root];
  if (number.tag != Tag::kInt || number.integer < 0)
    return Status(Code::kBadRecord, "member 'storages' has no count").in("storages");
  for (int64_t i = 0; i < number.integer; ++i) {
    std::unique_ptr<Pool> header;
    const uint64_t at = stream.position();
    TRY_ASSIGN(const std::vector<NodeId> items, tuple(stream, header, 3));
    const Node &key = (*header)[items[0]], &location = (*header)[items[1]],
               &type = (*header)[items[2]];
    if (key.tag != Tag::kInt || location.tag != Tag::kStr || type.tag != Tag::kGlobal) {
      return Status(Code::kBadRecord, "the header of a storage is malformed").at(at).in("storages");
    }
    const GlobalName& name = header->globals[type.a];
    const GlobalMeaning meant = classify_global(name.module, name.name);
    if (meant.kind != GlobalKind::kStorage) {
      return Status(Code::kUnsupportedDtype, "storage class '" + std::string(name.module) + "." +
                                                 std::string(name.name) + "' is unknown")
          .at(at)
          .in("storages");
    }
    TRY_ASSIGN(const int64_t numel, stream.read_int64());
    const auto bytes = numel < 0
                           ? std::nullopt
                           : checked_mul(static_cast<uint64_t>(numel), info(meant.dtype).bytes);
    if (!bytes)
      return Status(Code::kBadRecord,
                    "a storage has an impossible number of elements, " + std::to_string(numel))
          .at(at)
          .in("storages");
    Storage storage;
    storage.key = checkpoint_.pool_->keep(std::to_string(key.integer));
    storage.device = catalog.device(checkpoint_.pool_->keep(std::string(location.text())));
    storage.dtype = meant.dtype;
    storage.place = StoragePlace::kFile;
    storage.offset = stream.position();
    storage.bytes = *bytes;
    TRY(stream.skip(*bytes));
    storages_[key.integer] = static_cast<uint32_t>(catalog.storages.size());
    catalog.storages.push_back(storage);
  }
  if (stream.remaining() == 0) return {};
  TRY_ASSIGN(const Decoded views, stream.next(pool));
  const Node& list = (*pool)[views.root];
  if (list.tag != Tag::kList) return {};
  for (uint32_t view : pool->list(Pool::items_of(list))) {
    const Node& items = (*pool)[view];
    if (items.tag != Tag::kTuple || items.a != 4)
      return Status(Code::kBadRecord, "a view of a storage is no tuple of 4").in("storages");
    int64_t values[4];
    for (uint32_t i = 0; i < 4; ++i) {
      const Node& item = (*pool)[pool->words[items.b + i]];
      if (item.tag != Tag::kInt)
        return Status(Code::kBadRecord, "a view of a storage is none of integers").in("storages");
      values[i] = item.integer;
    }
    const auto root = storages_.find(values[1]);
    if (root == storages_.end())
      return Status(Code::kBadRecord, "a view refers to storage " + std::to_string(values[1]) +
                                          ", which is not there")
          .in("storages");
    Storage part = catalog.storages[root->second];
    const uint64_t elements = part.bytes / info(part.dtype).bytes;
    if (values[2] < 0 || values[3] < 0 ||
        !fits(static_cast<uint64_t>(values[2]), static_cast<uint64_t>(values[3]), elements)) {
      return Status(Code::kBadRecord, "a view of storage " + std::to_string(values[1]) +
                                          " does not lie inside its " + std::to_string(elements) +
                                          " elements")
          .in("storages");
    }
    part.key = checkpoint_.pool_->keep(std::to_string(values[0]));
    part.offset += static_cast<uint64_t>(values[2]) * info(part.dtype).bytes;
    part.bytes = static_cast<uint64_t>(values[3]) * info(part.dtype).bytes;
    storages_[values[0]] = static_cast<uint32_t>(catalog.storages.size());
    catalog.storages.push_back(part);
  }
  return {};
}

// pickle n; n times: pickle (key, storage key, class), int32 ndim, 4 bytes unused, ndim sizes, ndim
// strides, offset (all int64).
Status TarReader::read_tensors(PickleStream stream) {
  TarIds none({}, {});
  Interpreter interpreter(*checkpoint_.pool_, checkpoint_.catalog_, none, options_.limits);
  std::unique_ptr<Pool> pool;
  TRY_ASSIGN(const Decoded count, stream.next(pool));
  const Node& number = (*pool)[count.root];
  if (number.tag != Tag::kInt || number.integer < 0)
    return Status(Code::kBadRecord, "member 'tensors' has no count").in("tensors");
  for (int64_t i = 0; i < number.integer; ++i) {
    std::unique_ptr<Pool> header;
    const uint64_t at = stream.position();
    TRY_ASSIGN(const std::vector<NodeId> items, tuple(stream, header, 3));
    const Node &key = (*header)[items[0]], &storage_key = (*header)[items[1]];
    if (key.tag != Tag::kInt || storage_key.tag != Tag::kInt)
      return Status(Code::kBadRecord, "the header of a tensor is malformed").at(at).in("tensors");
    const auto storage = storages_.find(storage_key.integer);
    if (storage == storages_.end()) {
      return Status(Code::kBadRecord,
                    "tensor " + std::to_string(key.integer) + " lies on storage " +
                        std::to_string(storage_key.integer) + ", which is not there")
          .at(at)
          .in("tensors");
    }
    TRY_ASSIGN(const int32_t ndim, stream.read_int32());
    TRY(stream.skip(4));
    if (ndim < 0 || static_cast<uint64_t>(ndim) > stream.remaining() / 16) {
      return Status(Code::kBadTensor, "tensor " + std::to_string(key.integer) + " has " +
                                          std::to_string(ndim) +
                                          " dimensions, more than the file has room for")
          .at(at)
          .in("tensors");
    }
    std::vector<int64_t> sizes(static_cast<size_t>(ndim)), strides(static_cast<size_t>(ndim));
    for (std::vector<int64_t>* values : {&sizes, &strides}) {
      for (int64_t& value : *values) {
        TRY_ASSIGN(value, stream.read_int64());
      }
    }
    Tensor tensor;
    tensor.storage = storage->second;
    tensor.dtype = checkpoint_.catalog_.storages[storage->second].dtype;
    TRY_ASSIGN(tensor.offset, stream.read_int64());
    auto made = interpreter.add_tensor(tensor, sizes, strides);
    if (!made.ok()) return std::move(made).status().at(at).in("tensors");
    tensors_[key.integer] = *made;
  }
  return {};
}

Status TarReader::read() {
  TRY_ASSIGN(const std::vector<TarMember> members, read_tar(*checkpoint_.source_, options_.limits));
  TRY_ASSIGN(PickleStream pickle, member(members, "pickle"));
  TRY_ASSIGN(const PickleStream storages, member(members, "storages"));
  TRY_ASSIGN(const PickleStream tensors, member(members, "tensors"));
  checkpoint_.format_ = Format::kTar;
  checkpoint_.era_ = "0.1.0 to 0.1.9";
  // The object first: names of the other members are kept in its pool.
  auto object = pickle.next(checkpoint_.pool_);
  if (!object.ok()) return std::move(object).status().in("pickle");
  TRY(read_storages(storages));
  TRY(read_tensors(tensors));
  return checkpoint_.finish(options_, object->root,
                            std::make_unique<TarIds>(std::move(storages_), std::move(tensors_)));
}

}  // namespace torchmap
