// TorchScript archives of torch 1.0 to 1.3: model.json describes modules and tensors, and records
// tensors/<n> hold the storages. model.json is the JSON form of a protobuf: names in
// lowerCamelCase, int64 as text, enumerators by name.
//
//   {"protoVersion": "5", "mainModule": ModuleDef, "producerName": "pytorch", ...,
//    "tensors": [{"dims": ["2", "3"], "offset": "0", "strides": ["3", "1"], "requiresGrad": true,
//                 "dataType": "FLOAT", "data": {"key": "tensors/0"}, "device": "cpu",
//                 "isQuantized": true, "scale": 0.5, "zeroPoint": "3"}]}
//   ModuleDef: {"name", "submodules": [ModuleDef], "getStateAttributeId": "0",
//               "parameters": [{"isBuffer": false, "tensorId": "0", "name": "weight"}],
//               "attributes": [{"type": "Tensor", "name": "mean", "id": "0"}]}
//
// attributes.pkl (version 2 on) is a list or tuple of values; a tensor in it is the number of one
// in the table: __main__.TensorID() with the number as its state (torch 1.1), or
// torch.jit._pickle.build_tensor_from_id(number).
// Sources: caffe2/proto/torch.proto, torch/csrc/jit/export.cpp, import_legacy.cpp, pickler.cpp
// (v1.0 to v1.4).
//
// The root becomes what later archives have: objects of classes __torch__.<name> with a dict of
// parameters, attributes and submodules.
#pragma once

#include "core/checkpoint.h"
#include "core/json.h"

namespace torchmap {

class ModelJsonReader {
 public:
  ModelJsonReader(Checkpoint& checkpoint, const OpenOptions& options)
      : checkpoint_(checkpoint), options_(options), pool_(*checkpoint.pool_) {}

  // kNotACheckpoint when `model` is the JSON of something else.
  Status read(ByteSpan model, std::optional<ByteSpan> attributes);

 private:
  struct Pending;  // a module whose submodules are still to be read

  Status read_tensor(JsonValue row, Interpreter& interpreter);
  Result<uint32_t> storage(JsonValue row, std::string_view key, DType dtype);
  Status read_attributes(ByteSpan pickle, int64_t version);
  Status link_tensors();
  Result<NodeId> tensor_node(int64_t id, std::string_view owner);
  Result<NodeId> open_module(JsonValue def, Pending& pending);
  Status add_parameters(JsonValue def, Pending& pending);
  Status add_attributes(JsonValue def, Pending& pending);
  Status add_state(JsonValue def, Pending& pending);
  void close_module(Pending& pending);
  Result<NodeId> read_modules(JsonValue main);
  NodeId text_node(std::string_view text);

  Checkpoint& checkpoint_;
  const OpenOptions& options_;
  Pool& pool_;
  std::vector<NodeId> tensors_;            // by tensor id
  std::vector<NodeId> attributes_;         // by attribute id
  std::map<uint32_t, uint32_t> storages_;  // record of the archive -> storage
  ScriptClasses classes_;
};

}  // namespace torchmap
