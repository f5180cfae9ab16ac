#include "core/torch/storage_ids.h"

#include <algorithm>
#include <charconv>

#include "core/text.h"

namespace torchmap {
namespace {

// One key may be used with another dtype, or with another size in crafted files; not with any
// number of them.
constexpr size_t kMaxRowsPerKey = 64;

Status bad_storage(std::string what) { return Status(Code::kBadTensor, std::move(what)); }

// Takes the next quoted string or bare word of a tuple's repr.
std::string_view next_item(std::string_view& text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == ',' || text.front() == '('))
    text.remove_prefix(1);
  if (text.empty()) return {};
  size_t end;
  std::string_view item;
  if (text.front() == '\'' || text.front() == '"') {
    end = text.find(text.front(), 1);
    if (end == std::string_view::npos) return {};
    item = text.substr(1, end - 1);
    text.remove_prefix(end + 1);
    return item;
  }
  end = text.front() == '<' ? text.find('>') : text.find_first_of(",)");
  if (end == std::string_view::npos) return {};
  if (text.front() == '<') ++end;
  item = text.substr(0, end);
  text.remove_prefix(end);
  return item;
}

}  // namespace

// The number that a key is as torch.save counts them, or kNoNumber.
uint64_t StorageIds::number_of(std::string_view key) {
  const auto number = plain_number(key);
  return number ? *number : kNoNumber;
}

uint32_t StorageIds::find(std::string_view key) const { return find(key, number_of(key)); }

uint32_t StorageIds::find(std::string_view key, uint64_t number) const {
  static_assert(kNoIndex == Memo::kMissing);
  if (number != kNoNumber) return numbered_.get(number);
  const auto found = named_.find(key);
  return found == named_.end() ? kNoIndex : found->second;
}

void StorageIds::set_first(std::string_view key, uint64_t number, uint32_t storage) {
  if (number != kNoNumber) {
    numbered_.put(number, storage);
  } else {
    named_.emplace(key, storage);
  }
}

Result<uint32_t> StorageIds::storage(Interpreter& interpreter, const StorageId& id,
                                     std::string_view key) {
  Catalog& catalog = interpreter.catalog();
  const bool untyped = id.meant.kind == GlobalKind::kUntypedStorage;
  const auto bytes = id.numel < 0
                         ? std::nullopt
                         : checked_mul(static_cast<uint64_t>(id.numel), info(id.meant.dtype).bytes);
  if (!bytes || *bytes > INT64_MAX) {
    return bad_storage("storage '" + std::string(key) + "' has an impossible number of elements, " +
                       std::to_string(id.numel));
  }
  TRY(interpreter.charge((key.size() + id.location.size()) / 64));  // hashed and compared
  const auto fresh_index = static_cast<uint32_t>(catalog.storages.size());
  uint32_t last = kNoIndex;
  size_t rows = 0;
  const uint64_t number = number_of(key);
  for (uint32_t at = find(key, number); at != kNoIndex; at = next(at), ++rows) {
    const Storage& row = catalog.storages[at];
    if (row.bytes == *bytes && row.dtype == id.meant.dtype && row.untyped == untyped) return at;
    last = at;
  }
  if (rows == kMaxRowsPerKey) {
    return bad_storage("storage '" + std::string(key) + "' is referred to with more than " +
                       std::to_string(kMaxRowsPerKey) + " dtypes and sizes");
  }
  Storage storage;
  storage.key = key;
  storage.device = catalog.device(id.location);
  storage.dtype = id.meant.dtype;
  storage.untyped = untyped;
  storage.swap = !big_endian_ ? 1 : untyped ? 0 : info(id.meant.dtype).swap;
  storage.bytes = *bytes;
  if (id.location == "meta") {
    storage.place = StoragePlace::kNowhere;
  } else if (placer_) {
    TRY(placer_(storage));
  } else {
    storage.place = StoragePlace::kFile;
  }
  if (last == kNoIndex) {
    set_first(key, number, fresh_index);
  } else {
    if (next_.size() <= last) next_.resize(last + 1, kNoIndex);
    next_[last] = fresh_index;
  }
  catalog.storages.push_back(storage);
  return fresh_index;
}

Result<Persistent> StorageIds::storage_from_text(Interpreter& interpreter, std::string_view text) {
  if (next_item(text) != "storage")
    return Status(Code::kBadPickle, "a persistent id is no tuple that names a storage");
  std::string_view name = next_item(text);
  constexpr std::string_view kPrefix = "<class '";
  if (!name.starts_with(kPrefix) || !name.ends_with("'>"))
    return bad_storage("the id of a storage has no class");
  name = name.substr(kPrefix.size(), name.size() - kPrefix.size() - 2);
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return bad_storage("the id of a storage has no class");
  StorageId id;
  id.meant = classify_global(name.substr(0, dot), name.substr(dot + 1));
  if (id.meant.kind != GlobalKind::kStorage && id.meant.kind != GlobalKind::kUntypedStorage) {
    return bad_storage("storage class '" + std::string(name) + "' is unknown");
  }
  id.key = next_item(text);
  id.location = next_item(text);
  const std::string_view numel = next_item(text);
  const auto [end, error] = std::from_chars(numel.data(), numel.data() + numel.size(), id.numel);
  if (numel.empty() || end != numel.data() + numel.size() || error != std::errc{}) {
    return bad_storage("the id of a storage has no number of elements");
  }
  TRY_ASSIGN(const uint32_t index, storage(interpreter, id, id.key));
  return Persistent{Persistent::kStorage, index};
}

Result<uint32_t> StorageIds::resolve_storage(Interpreter& interpreter, NodeId,
                                             const StorageId& id) {
  if (id.meant.kind != GlobalKind::kStorage && id.meant.kind != GlobalKind::kUntypedStorage)
    return kNoIndex;
  return storage(interpreter, id, key_of(id.key));
}

Result<Persistent> StorageIds::resolve(Interpreter& interpreter, NodeId node) {
  Pool& pool = interpreter.pool();
  const NodeId id_node = pool.target(pool[node].a);
  if (pool[id_node].tag == Tag::kStr) return storage_from_text(interpreter, pool[id_node].text());
  if (pool[id_node].tag != Tag::kTuple || pool[id_node].a < 2)
    return Status(Code::kBadPickle, "a persistent id is no tuple");
  NodeId copy[6];  // resolving one item can move the words that hold the others
  const auto given = pool.tuple(id_node);
  const std::span<const NodeId> items(copy, std::min(given.size(), std::size(copy)));
  std::copy_n(given.begin(), items.size(), copy);
  const auto type = interpreter.text(items[0]);
  if (type == "module" && pool[pool.target(items[1])].tag == Tag::kGlobal)
    return Persistent{Persistent::kAlias, items[1]};
  if (type != "storage" || items.size() < 5) {
    return Status(Code::kBadPickle, "a persistent id names neither a storage nor a module class");
  }

  StorageId id;
  id.meant = interpreter.meaning(items[1]);
  if (id.meant.kind != GlobalKind::kStorage && id.meant.kind != GlobalKind::kUntypedStorage) {
    const Node& named = pool[pool.target(items[1])];
    const std::string name = named.tag == Tag::kGlobal
                                 ? std::string(pool.globals[named.a].module) + "." +
                                       std::string(pool.globals[named.a].name)
                                 : "?";
    return Status(Code::kUnsupportedDtype, "storage class '" + name + "' is unknown").about(name);
  }
  const auto key = interpreter.text(items[2]);
  const auto number = interpreter.integer(items[2]);
  if (!key && !number) return bad_storage("the key of a storage is neither text nor number");
  id.key = key ? key_of(*key) : pool.keep(std::to_string(*number));
  id.location = interpreter.text(items[3]).value_or("cpu");
  const auto numel = interpreter.integer(items[4]);
  if (!numel) return bad_storage("storage '" + std::string(id.key) + "' has no number of elements");
  id.numel = *numel;
  TRY_ASSIGN(const uint32_t root, storage(interpreter, id, id.key));
  if (items.size() < 6 || interpreter.is_none(items[5]))
    return Persistent{Persistent::kStorage, root};

  const auto view = interpreter.sequence(items[5]);
  const auto view_key = view && view->size() == 3 ? interpreter.text((*view)[0]) : std::nullopt;
  const auto offset = view_key ? interpreter.integer((*view)[1]) : std::nullopt;
  const auto size = view_key ? interpreter.integer((*view)[2]) : std::nullopt;
  if (!offset || !size || *offset < 0 || *size < 0 || *offset > *numel ||
      *size > *numel - *offset) {
    return bad_storage("a view of storage '" + std::string(id.key) + "' does not lie inside its " +
                       std::to_string(*numel) + " elements");
  }
  const DType dtype = interpreter.catalog().storages[root].dtype;
  const uint64_t view_bytes = static_cast<uint64_t>(*size) * info(dtype).bytes;
  const auto [known, fresh] =
      view_index_.try_emplace({root, *view_key}, static_cast<uint32_t>(views_.size()));
  if (!fresh && views_[known->second].offset == *offset &&
      interpreter.catalog().storages[views_[known->second].storage].bytes == view_bytes) {
    return Persistent{Persistent::kStorage, views_[known->second].storage};
  }
  Storage part = interpreter.catalog().storages[root];
  part.key = *view_key;
  part.bytes = view_bytes;
  const auto index = static_cast<uint32_t>(interpreter.catalog().storages.size());
  interpreter.catalog().storages.push_back(part);
  views_.push_back({index, root, *offset});
  return Persistent{Persistent::kStorage, index};
}

}  // namespace torchmap
