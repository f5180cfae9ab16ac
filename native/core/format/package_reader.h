// Archives of torch.package: resources, Python sources, storages under .data, TorchScript modules
// under .data/ts_code. Source: torch/package/package_exporter.py (v1.13, v2.13) and
// torch/csrc/jit/serialization/export_module.cpp, ScriptModuleSerializer::serialize_unified_format.
//
// The root is a dict of the resources by their paths, as in {'model/net.pkl': ...}: the value of a
// pickle, the text of what is UTF-8, else bytes. Python sources are code and left out.
#pragma once

#include "core/format/members.h"
#include "core/format/package_ids.h"
#include "core/format/zip_reader.h"

namespace torchmap {

class PackageReader {
 public:
  // Whether the archive, which has no data.pkl, is one.
  static bool recognises(const ZipArchive& archive);

  PackageReader(Checkpoint& checkpoint, const OpenOptions& options, ZipReader& zip)
      : checkpoint_(checkpoint), options_(options), zip_(zip), resources_(*checkpoint.pool_) {}

  Status read();

 private:
  // Something that could be read but for this record.
  void skip(std::string_view name, const Failure& failure);
  Status read_resource(uint32_t record, std::string_view name);
  Status read_script(uint32_t record, std::string_view name);
  // The value of a pickle and how many bytes it takes; nothing when it could not be decoded, which
  // is among the skipped ones then.
  Result<std::optional<Decoded>> decode(uint32_t record, std::string_view name, ByteSpan bytes);
  Result<std::optional<ByteSpan>> bytes_of(uint32_t record, std::string_view name);

  struct Script {
    std::string_view name, id;
    NodeId root;
  };

  Checkpoint& checkpoint_;
  const OpenOptions& options_;
  ZipReader& zip_;
  DictBuilder resources_;
  std::vector<Script> scripts_;
};

}  // namespace torchmap
