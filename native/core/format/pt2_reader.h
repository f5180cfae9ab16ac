// Archives of torch.export (.pt2).
//   since 2.9  archive_format, models/<name>.json, data/weights/<name>_weights_config.json and the
//              records it names, the same under data/constants, data/sample_inputs/<name>.pt
//   2.8        data/weights/<name>.pt and data/constants/<name>.pt instead, saved by torch.save
//   2.1 to 2.7 a plain zip: serialized_state_dict.pt, serialized_constants.pt (.json before 2.2),
//              serialized_example_inputs.pt, saved by torch.save
// Source: torch/export/pt2_archive/_package.py and torch/export/__init__.py, load (v2.13).
//
// The root is {'state_dict': {fqn: tensor}, 'constants': {...}, 'sample_inputs': (args, kwargs)};
// where there are several models, each of the three is a dict of them. Tensors of the state dict
// have their own names, the others those of their place in the root.
#pragma once

#include "core/format/members.h"
#include "core/format/pt2_payloads.h"
#include "core/format/zip_reader.h"

namespace torchmap {

class Pt2Reader {
 public:
  // Whether the archive, which has no data.pkl, is one.
  static bool recognises(const ZipArchive& archive);

  Pt2Reader(Checkpoint& checkpoint, const OpenOptions& options, ZipReader& zip)
      : checkpoint_(checkpoint), options_(options), zip_(zip) {}

  Status read();

 private:
  // A folder of data/ that has a table of payloads, or one nested archive, for each model.
  struct Folder {
    std::string_view path, key;  // "data/weights/", "state_dict"
    std::string_view config;     // "_weights_config.json"
  };
  struct Model {
    std::string_view name;
    NodeId value;
  };

  Status read_models();
  Status read_single();
  Status read_inductor();
  Result<NodeId> inductor_weight(JsonValue meta, uint32_t config);
  Status check_version();
  void list_unread();

  uint32_t find(std::string_view name) const;
  Result<NodeId> model(const Folder& folder, std::string_view name);
  Result<NodeId> table(const Folder& folder, uint32_t config);
  Result<NodeId> payload(const Folder& folder, JsonValue meta, uint32_t config);
  Result<NodeId> nested(uint32_t record);
  Result<JsonValue> json(uint32_t record);
  void add(std::string_view key, std::string_view model, NodeId value);

  Checkpoint& checkpoint_;
  const OpenOptions& options_;
  ZipReader& zip_;
  std::shared_ptr<Pt2Payloads> payloads_;
  std::unique_ptr<MemberIds> ids_ = std::make_unique<MemberIds>();
  std::map<uint32_t, NodeId> nested_;                        // record -> root of its pickle
  std::map<std::string_view, std::vector<Model>> sections_;  // by key of the root
  std::vector<bool> read_;                                   // records that something names
};

}  // namespace torchmap
