// Persistent ids of torch.save: tuples that name a storage.
//   zip     ('storage', StorageClass, key, location, numel)
//   legacy  ('storage', StorageClass, key, location, numel, view) with view None or (key, offset,
//   size) legacy  ('module', class, source_file, source)  stands for the class
// and the same as text in pickle protocol 0: ('storage', <class 'torch.FloatStorage'>, '0', 'cpu',
// 3). Source: torch/serialization.py, persistent_id and persistent_load (v1.13, v2.13).
#pragma once

#include <functional>
#include <unordered_map>

#include "core/hash.h"
#include "core/pickle/memo.h"
#include "core/torch/interpreter.h"

namespace torchmap {

class StorageIds : public PersistentIds {
 public:
  // Finds the bytes of a storage whose key, dtype and byte count are known: sets place and offset.
  using Placer = std::function<Status(Storage& storage)>;

  // `placer` may be empty: then the storages have no place yet (a legacy stream has its bytes
  // behind the pickle).
  StorageIds(Placer placer, bool big_endian)
      : placer_(std::move(placer)), big_endian_(big_endian) {}

  Result<Persistent> resolve(Interpreter& interpreter, NodeId id) override;
  Result<uint32_t> resolve_storage(Interpreter& interpreter, NodeId owner,
                                   const StorageId& id) override;

  // A storage that is part of another one (legacy views), in elements of its dtype.
  struct View {
    uint32_t storage, root;
    int64_t offset;
  };
  const std::vector<View>& views() const { return views_; }

  // The first storage with this key, or kNoIndex. `next` gives the others, where the file refers to
  // one key with different dtypes or sizes.
  uint32_t find(std::string_view key) const;
  uint32_t next(uint32_t storage) const {
    return storage < next_.size() ? next_[storage] : kNoIndex;
  }

 protected:
  // The key that is meant where several are written for one storage.
  virtual std::string_view key_of(std::string_view written) const { return written; }

 private:
  // Under `key`, which may be another one than the id's.
  Result<uint32_t> storage(Interpreter& interpreter, const StorageId& id, std::string_view key);
  Result<Persistent> storage_from_text(Interpreter& interpreter, std::string_view text);

  Placer placer_;
  bool big_endian_;
  static constexpr uint64_t kNoNumber = UINT64_MAX;
  static uint64_t number_of(std::string_view key);
  // With the number of the key.
  uint32_t find(std::string_view key, uint64_t number) const;
  void set_first(std::string_view key, uint64_t number, uint32_t storage);

  // The first storage of each key: of those that are numbers as torch.save counts them, and others.
  Memo numbered_;
  std::unordered_map<std::string_view, uint32_t, SeededHash> named_;
  std::vector<uint32_t> next_;  // storage -> next one of its key
  std::vector<View> views_;
  std::map<std::pair<uint32_t, std::string_view>, uint32_t> view_index_;  // (root, key) -> views_
};

}  // namespace torchmap
