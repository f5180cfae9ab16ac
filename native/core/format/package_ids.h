// Persistent ids of torch.package:
//   ('storage', StorageClass, key, location, numel)   key is a number, in TorchScript "<n>.storage"
//   ('reduce_package', id, function, arguments)       what an object's __reduce_package__ gave
//   ('reduce_package', function, arguments)           the same, as the first releases wrote it
// Source: torch/package/package_exporter.py, _persistent_id, and package_importer.py, load_pickle
// (v2.13).
#pragma once

#include <set>

#include "core/torch/storage_ids.h"

namespace torchmap {

class PackageIds final : public StorageIds {
 public:
  PackageIds(Placer placer, bool big_endian) : StorageIds(std::move(placer), big_endian) {}

  // `root` is the pickle of the TorchScript module with that id.
  void add_script(std::string_view id, NodeId root) { scripts_[id] = root; }

  // The ids of all TorchScript modules that nodes of the pool refer to.
  static std::set<std::string_view> scripts_in(const Pool& pool);

  Result<Persistent> resolve(Interpreter& interpreter, NodeId id) override;

 protected:
  std::string_view key_of(std::string_view written) const override;

 private:
  std::map<std::string_view, NodeId> scripts_;
  std::map<NodeId, NodeId> objects_;  // the tuple of the id -> what it stands for
};

}  // namespace torchmap
