// Archives of torch.save inside the records of another archive, as torch.export has them. Read in
// place: a nested storage is a range of the file like any other.
#pragma once

#include "core/checkpoint.h"

namespace torchmap {

// Where the bytes of a nested archive are.
struct NestedPlace {
  std::shared_ptr<Source> source;     // the nested archive alone
  uint64_t offset = 0;                // bytes from the start of the file, where it lies there
  const std::byte* memory = nullptr;  // else its bytes, which were inflated
  std::string_view record;            // that holds it, for messages
};

struct NestedPickle {
  NodeId root = 0;
  std::shared_ptr<PersistentIds> ids;  // of the nodes that were decoded
};

// Decodes data.pkl of the nested archive into `pool`, which must not outlive `ids`.
Result<NestedPickle> read_nested_zip(const NestedPlace& place, Pool& pool,
                                     const OpenOptions& options);

}  // namespace torchmap
