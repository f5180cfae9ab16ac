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
  // The same where a salvaged archive can do without: nothing for a record that is not whole.
  Result<std::optional<ByteSpan>> small_record(std::string_view name);
  Status read_archive();
  // Static, because storages are placed as long as the checkpoint lives.
  static Status check_whole(Checkpoint& checkpoint, uint32_t index);
  static Status place(Checkpoint& checkpoint, std::string_view folder, Storage& storage);
  Status read_version();
  Status read_byte_order();

 private:
  void expect_rows();
  Status missing_pickle();
  Result<std::optional<Decoded>> decode_constants();
  Status name_constants(NodeId root);
  std::string era();

  Checkpoint& checkpoint_;
  const OpenOptions& options_;
  std::span<const InflatedRecord> inflated_;
};

}  // namespace torchmap
