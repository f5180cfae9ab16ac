// The tensors of a torch.export archive: JSON tables name a record, a dtype, sizes and strides for
// each. They are made when the walk reaches them, so that they are named and skipped like others.
// Source: torch/_export/serde/schema.py, PayloadMeta and TensorMeta, and
// torch/export/pt2_archive/_package.py, _load_state_dict and _load_constants (v2.13).
#pragma once

#include <map>

#include "core/archive/zip.h"
#include "core/json.h"
#include "core/torch/interpreter.h"

namespace torchmap {

class Pt2Payloads final : public PersistentIds {
 public:
  Pt2Payloads(const ZipArchive& archive, bool big_endian)
      : archive_(archive), big_endian_(big_endian) {}

  // Keeps the text that JsonValues of later calls lie in.
  JsonValue keep(Json json) { return documents_.emplace_back(std::move(json)).root(); }

  // A node for the tensor that `meta`, a PayloadMeta, describes over the record with that index
  // (ZipArchive::kNone where there is none). `config` is the record `meta` stands in.
  NodeId add(Pool& pool, JsonValue meta, uint32_t record, std::string_view config);

  // A node for the value `base` of a payload that is a pickle: a parameter where `meta` says so,
  // because the pickle of a subclass does not.
  NodeId add_pickled(Pool& pool, JsonValue meta, NodeId base, std::string_view config);

  // A node for a view of the tensor `base` stands for, as AOTInductor describes its weights:
  // [file, sizes, strides, offset].
  NodeId add_view(Pool& pool, JsonValue meta, NodeId base, std::string_view config);

  Result<Persistent> resolve(Interpreter& interpreter, NodeId node) override;

 private:
  struct Payload {
    NodeId node;
    JsonValue meta;
    uint32_t record;
    NodeId base;  // of a view or a pickled payload; else 0
    std::string_view config;
  };
  NodeId add(Pool& pool, Payload payload);
  Result<uint32_t> tensor(Interpreter& interpreter, const Payload& payload);
  Result<Persistent> pickled(Interpreter& interpreter, const Payload& payload);
  Result<uint32_t> view(Interpreter& interpreter, const Payload& payload);
  Result<uint32_t> storage(Interpreter& interpreter, const Payload& payload,
                           std::string_view device, bool is_empty);

  const ZipArchive& archive_;
  bool big_endian_;
  std::vector<Json> documents_;
  std::vector<Payload> payloads_;                         // by node
  std::map<std::pair<uint32_t, bool>, uint32_t> stored_;  // (record, without bytes) -> storage
};

}  // namespace torchmap
