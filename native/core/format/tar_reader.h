// Checkpoints of torch 0.1.x: a tar archive with the members sys_info, pickle, tensors and
// storages. Source: torch/serialization.py, legacy_load (v2.13), which still reads them.
#pragma once

#include "core/archive/tar.h"
#include "core/checkpoint.h"
#include "core/format/pickle_stream.h"

namespace torchmap {

class TarReader {
 public:
  TarReader(Checkpoint& checkpoint, const OpenOptions& options)
      : checkpoint_(checkpoint), options_(options) {}

  // Whether the source is such an archive, and then its content.
  Status read();

 private:
  using Index = std::map<int64_t, uint32_t>;

  Result<PickleStream> member(const std::vector<TarMember>& members, std::string_view name);
  Status read_storages(PickleStream stream);
  Status read_tensors(PickleStream stream);
  Result<std::vector<NodeId>> tuple(PickleStream& stream, std::unique_ptr<Pool>& pool,
                                    size_t length);

  Checkpoint& checkpoint_;
  const OpenOptions& options_;
  Index storages_, tensors_;
};

}  // namespace torchmap
