// Checkpoints in a zip archive: torch.save since 1.6, and TorchScript archives, whose data.pkl has
// the same form. Source: torch/serialization.py, _save and _load (v2.13).
#pragma once

#include "core/checkpoint.h"

namespace torchmap {

class ZipReader {
 public:
  ZipReader(Checkpoint& checkpoint, const OpenOptions& options,
            std::span<const InflatedRecord> inflated)
      : checkpoint_(checkpoint), options_(options), inflated_(inflated) {}

  Status read();

  // For the readers of archives without data.pkl:
  // The bytes of a small record by its name inside the root; nothing when it is not there.
  Result<std::optional<ByteSpan>> record(std::string_view name);
  Status read_version();
  Status read_byte_order();

 private:
  Status missing_pickle();
  Status note_constants();
  std::string era();

  Checkpoint& checkpoint_;
  const OpenOptions& options_;
  std::span<const InflatedRecord> inflated_;
};

}  // namespace torchmap
