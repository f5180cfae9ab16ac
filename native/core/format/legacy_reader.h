// The legacy stream, torch 0.1.10 to 1.5 and `_use_new_zipfile_serialization=False` since:
//   pickle magic · pickle protocol · pickle system info · pickle object · pickle list of storage
//   keys · for each key: int64 number of elements, elements (little-endian, no padding)
// Source: torch/serialization.py, _legacy_save and _legacy_load (v1.13, v2.13).
#pragma once

#include "core/checkpoint.h"
#include "core/format/pickle_stream.h"

namespace torchmap {

// Whether a decoded first pickle is the magic number of a legacy stream.
bool is_legacy_magic(const Pool& pool, NodeId root);

class LegacyReader {
 public:
  LegacyReader(Checkpoint& checkpoint, const OpenOptions& options)
      : checkpoint_(checkpoint), options_(options) {}

  // `stream` stands behind the magic number.
  Status read(PickleStream& stream);

 private:
  Checkpoint& checkpoint_;
  const OpenOptions& options_;
};

// The one storage in the legacy stream that torch.storage._load_from_bytes is given: a tensor of a
// plain pickle. The stream lies in `bytes`; the storage points into it.
Result<Storage> read_nested_storage(std::string_view bytes, const Limits& limits);

}  // namespace torchmap
