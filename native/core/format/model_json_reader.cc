#include "core/format/model_json_reader.h"

#include <algorithm>
#include <charconv>

#include "core/format/storage_record.h"

namespace torchmap {
namespace {

struct DataType {
  std::string_view name;
  int64_t number;
  DType dtype;
};
// Source: caffe2/proto/caffe2.proto, TensorProto.DataType; caffe2/core/types.cc (v1.3).
constexpr DataType kDataTypes[] = {
    {"FLOAT", 1, DType::kFloat32},    {"INT32", 2, DType::kInt32},     {"BYTE", 3, DType::kUInt8},
    {"BOOL", 5, DType::kBool},        {"UINT8", 6, DType::kUInt8},     {"INT8", 7, DType::kInt8},
    {"UINT16", 8, DType::kUInt16},    {"INT16", 9, DType::kInt16},     {"INT64", 10, DType::kInt64},
    {"FLOAT16", 12, DType::kFloat16}, {"DOUBLE", 13, DType::kFloat64},
};

constexpr std::string_view kRecord = "model.json";

Status bad_script(const std::string& what) { return Status(Code::kBadTensor, what).in(kRecord); }

// An int64: text, as protobuf writes it, or a number.
std::optional<int64_t> integer(const std::optional<JsonValue>& value) {
  if (!value) return std::nullopt;
  if (const auto number = value->integer()) return number;
  const auto text = value->text();
  if (!text || text->empty()) return std::nullopt;
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (error != std::errc{} || end != text->data() + text->size()) return std::nullopt;
  return number;
}

std::string_view text_of(JsonValue object, std::string_view key) {
  const auto value = object.get(key);
  return value ? value->text().value_or("") : std::string_view();
}

bool is_set(JsonValue object, std::string_view key) {
  const auto value = object.get(key);
  return value && value->boolean().value_or(false);
}

// The items under a key; none when it is not there, as protobuf leaves empty lists out.
template <typename Visit>
Status each_of(JsonValue object, std::string_view key, Visit&& visit) {
  const auto list = object.get(key);
  if (!list || list->is_null()) return {};
  if (!list->is_array()) return bad_script("'" + std::string(key) + "' is no list");
  return list->each_item(visit);
}

Result<std::vector<int64_t>> integers(JsonValue object, std::string_view key) {
  std::vector<int64_t> out;
  TRY(each_of(object, key, [&](JsonValue item) -> Status {
    const auto number = integer(item);
    if (!number) return bad_script("'" + std::string(key) + "' of a tensor holds no integer");
    out.push_back(*number);
    return {};
  }));
  return out;
}

Result<DType> dtype_of(JsonValue row) {
  const std::string_view name = text_of(row, "dataType");
  const auto number = integer(row.get("dataType"));
  for (const DataType& type : kDataTypes) {
    if (type.name != name && type.number != number) continue;
    if (!is_set(row, "isQuantized")) return type.dtype;
    if (type.dtype == DType::kUInt8) return DType::kQUInt8;
    if (type.dtype == DType::kInt8) return DType::kQInt8;
    if (type.dtype == DType::kInt32) return DType::kQInt32;
    break;
  }
  return Status(Code::kUnsupportedDtype,
                "data type '" + std::string(name.substr(0, 64)) + "' of a tensor is unknown")
      .in(kRecord)
      .about(name.substr(0, 64));
}

}  // namespace

struct ModelJsonReader::Pending {
  NodeId object = 0;
  Items entries;  // key, value
  bool has_state = false;
  ScriptClass type;
  uint32_t global = 0;
  std::vector<JsonValue> submodules;
  size_t next = 0;
};

NodeId ModelJsonReader::text_node(std::string_view text) {
  return pool_.add(Node::of_text(Tag::kStr, pool_.keep(std::string(text))));
}

// A storage is the whole record, in elements of the first tensor over it.
Result<uint32_t> ModelJsonReader::storage(JsonValue row, std::string_view key, DType dtype) {
  const ZipArchive& archive = *checkpoint_.archive_;
  const uint32_t index = archive.find(key);
  if (index == ZipArchive::kNone) {
    return Status(Code::kBadRecord, "record '" + std::string(key.substr(0, 256)) +
                                        "' is not in the archive but a tensor lies in it")
        .in(kRecord);
  }
  Catalog& catalog = checkpoint_.catalog_;
  const auto [entry, fresh] =
      storages_.try_emplace(index, static_cast<uint32_t>(catalog.storages.size()));
  if (!fresh) return entry->second;
  const Record& record = archive.records()[index];
  TRY(check_method(record));
  Storage storage;
  storage.key = pool_.keep(std::string(key));
  const std::string_view device = text_of(row, "device");
  storage.device =
      catalog.device(device.empty() ? "cpu" : pool_.keep(std::string(device.substr(0, 64))));
  storage.dtype = dtype;
  storage.place = StoragePlace::kRecord;
  storage.record = index;
  storage.bytes = record.size / info(dtype).bytes * info(dtype).bytes;
  catalog.storages.push_back(storage);
  return entry->second;
}

Status ModelJsonReader::read_tensor(JsonValue row, Interpreter& interpreter) {
  Tensor tensor;
  TRY_ASSIGN(tensor.dtype, dtype_of(row));
  const auto data = row.get("data");
  const auto key = data ? data->get("key") : std::nullopt;
  const auto name = key ? key->text() : std::nullopt;
  if (!name) return bad_script("a tensor names no record");
  TRY_ASSIGN(tensor.storage, storage(row, *name, tensor.dtype));
  TRY_ASSIGN(const std::vector<int64_t> sizes, integers(row, "dims"));
  TRY_ASSIGN(const std::vector<int64_t> strides, integers(row, "strides"));
  const auto offset = row.get("offset");
  const auto start = offset ? integer(offset) : 0;
  if (!start) return bad_script("the offset of a tensor is no integer");
  tensor.offset = *start;
  if (is_set(row, "requiresGrad")) tensor.flags |= kRequiresGrad;
  if (is_set(row, "isQuantized")) {
    const auto scale = row.get("scale"), zero_point = row.get("zeroPoint");
    Quantizer quantizer;
    const auto number = scale ? scale->number() : 0;
    const auto zero = zero_point ? integer(zero_point) : 0;
    if (!number || !zero) return bad_script("scale or zero point of a tensor is no number");
    quantizer.scale = *number;
    quantizer.zero_point = static_cast<double>(*zero);
    tensor.quantizer = static_cast<uint32_t>(checkpoint_.catalog_.quantizers.size());
    checkpoint_.catalog_.quantizers.push_back(std::move(quantizer));
  }
  auto made = interpreter.add_tensor(tensor, sizes, strides);
  if (!made.ok()) {
    Failure& failure = made.status().failure();
    failure.message = "tensor " + std::to_string(tensors_.size()) + ": " + failure.message;
    return std::move(made).status().in(kRecord);
  }
  tensors_.push_back(
      pool_.add(Node::words(Tag::kForeign, *made, 0, 0, static_cast<uint8_t>(Foreign::kTensor))));
  return {};
}

Result<NodeId> ModelJsonReader::tensor_node(int64_t id, std::string_view owner) {
  if (id >= 0 && static_cast<uint64_t>(id) < tensors_.size())
    return tensors_[static_cast<size_t>(id)];
  return bad_script("'" + std::string(owner.substr(0, 256)) + "' is tensor " + std::to_string(id) +
                    " of a table of " + std::to_string(tensors_.size()));
}

// What stands for a tensor or a list of integers in attributes.pkl becomes it.
Status ModelJsonReader::link_tensors() {
  for (NodeId id = 0; id < pool_.nodes.size(); ++id) {
    if (pool_[id].tag != Tag::kCall || pool_[pool_.target(pool_[id].a)].tag != Tag::kGlobal)
      continue;
    const GlobalName& global = pool_.globals[pool_[pool_.target(pool_[id].a)].a];
    const bool by_call =
        global.module == "torch.jit._pickle" && global.name == "build_tensor_from_id";
    const bool is_id = global.module == "__main__" && global.name == "TensorID";
    const bool is_list = global.module == "__main__" && global.name == "IntList";
    if (!by_call && !is_id && !is_list) continue;
    std::optional<NodeId> value;
    if (by_call) {
      const NodeId arguments = pool_.target(pool_[id].b);
      if (pool_[arguments].tag == Tag::kTuple && pool_[arguments].a > 0)
        value = pool_.target(pool_.words[pool_[arguments].b]);
    } else {
      pool_.each(pool_.extra(id).states, [&](uint32_t state) { value = pool_.target(state); });
    }
    if (!value || *value == id) continue;  // an object like any other
    if (!is_list) {
      if (pool_[*value].tag != Tag::kInt) continue;
      TRY_ASSIGN(value, tensor_node(pool_[*value].integer, "attributes.pkl"));
    } else if (pool_[*value].tag != Tag::kList) {
      continue;
    }
    pool_[id] = Node::words(Tag::kAlias, *value, 0, 0);
  }
  return {};
}

Status ModelJsonReader::read_attributes(ByteSpan pickle, int64_t version) {
  auto decoded = decode_pickle(pickle, pool_, {options_.limits, 0, options_.cancelled});
  if (!decoded.ok()) {
    Failure& failure = decoded.status().failure();
    if (failure.code == Code::kTruncated) failure.code = Code::kBadPickle;
    return std::move(decoded).status().in("attributes.pkl");
  }
  TRY(link_tensors());
  const Node& root = pool_[pool_.target(decoded->root)];
  if (root.tag == Tag::kTuple) {
    const auto items = pool_.tuple(pool_.target(decoded->root));
    attributes_.assign(items.begin(), items.end());
  } else if (root.tag == Tag::kList) {
    attributes_ = pool_.list(Pool::items_of(root));
  } else {
    return Status(Code::kBadPickle, "attributes.pkl of version " + std::to_string(version) +
                                        " holds neither a list nor a tuple")
        .in("attributes.pkl");
  }
  return {};
}

Status ModelJsonReader::add_parameters(JsonValue def, Pending& pending) {
  return each_of(def, "parameters", [&](JsonValue row) -> Status {
    const std::string_view name = text_of(row, "name");
    const auto given = row.get("tensorId");
    const auto id = given ? integer(given) : 0;
    if (!id) return bad_script("'" + std::string(name.substr(0, 256)) + "' has no tensor");
    if (*id == -1) return {};  // its value is in what __getstate__ gave
    TRY_ASSIGN(const NodeId value, tensor_node(*id, name));
    const bool is_buffer = is_set(row, "isBuffer");
    if (!is_buffer) checkpoint_.catalog_.tensors[pool_[value].a].flags |= kIsParameter;
    (is_buffer ? pending.type.buffers : pending.type.parameters).emplace_back(name);
    const uint32_t entry[] = {text_node(name), value};
    pool_.append(pending.entries, entry, 2);
    return {};
  });
}

// Attributes whose type is Tensor are buffers. Source: torch/csrc/jit/script/module.h, BufferPolicy
// (v1.4).
Status ModelJsonReader::add_attributes(JsonValue def, Pending& pending) {
  std::sort(pending.type.parameters.begin(), pending.type.parameters.end());
  std::sort(pending.type.buffers.begin(), pending.type.buffers.end());
  const ScriptClass known = pending.type;
  TRY(each_of(def, "attributes", [&](JsonValue row) -> Status {
    const std::string_view name = text_of(row, "name");
    const auto given = row.get("id");
    const auto id = given ? integer(given) : 0;
    if (!id) return bad_script("attribute '" + std::string(name.substr(0, 256)) + "' has no value");
    if (*id == -1 || known.has_buffer(name) || known.has_parameter(name)) return {};
    if (*id < 0 || static_cast<uint64_t>(*id) >= attributes_.size()) {
      return bad_script("attribute '" + std::string(name.substr(0, 256)) + "' is value " +
                        std::to_string(*id) + " of " + std::to_string(attributes_.size()));
    }
    if (text_of(row, "type") == "Tensor") pending.type.buffers.emplace_back(name);
    const uint32_t entry[] = {text_node(name), attributes_[static_cast<size_t>(*id)]};
    pool_.append(pending.entries, entry, 2);
    return {};
  }));
  std::sort(pending.type.buffers.begin(), pending.type.buffers.end());
  return {};
}

// A module with __getstate__ has what that gave instead of parameters and attributes.
Status ModelJsonReader::add_state(JsonValue def, Pending& pending) {
  const auto given = def.get("getStateAttributeId");
  if (!given) return {};
  const auto id = integer(given);
  if (!id || *id < 0 || static_cast<uint64_t>(*id) >= attributes_.size()) {
    return bad_script("the state of a module is none of the " + std::to_string(attributes_.size()) +
                      " values");
  }
  const uint32_t state = attributes_[static_cast<size_t>(*id)];
  pool_.append(pool_.make_extra(pending.object).states, &state, 1);
  pending.has_state = true;
  return {};
}

// Each module has a class of its own, as torch gives it when it reads such a file.
Result<NodeId> ModelJsonReader::open_module(JsonValue def, Pending& pending) {
  if (!def.is_object()) return bad_script("a module is no object");
  pending.global = static_cast<uint32_t>(pool_.globals.size());
  pool_.globals.push_back({"__torch__", pool_.keep(std::string(text_of(def, "name"))), 0});
  const NodeId type = pool_.add(Node::words(Tag::kGlobal, pending.global, 0, 0));
  pending.object = pool_.add(
      Node::words(Tag::kCall, type, Pool::kEmptyTuple, 0, static_cast<uint8_t>(CallKind::kNewObj)));
  pending.type.is_module = true;
  TRY(add_state(def, pending));
  TRY(add_parameters(def, pending));
  TRY(add_attributes(def, pending));
  TRY(each_of(def, "submodules", [&](JsonValue submodule) -> Status {
    pending.submodules.push_back(submodule);
    return {};
  }));
  return pending.object;
}

void ModelJsonReader::close_module(Pending& pending) {
  classes_.add(pending.global, std::move(pending.type));
  if (pending.has_state && pending.entries.count == 0) return;
  const Items& items = pending.entries;
  const uint32_t dict = pool_.add(Node::words(Tag::kDict, items.count, items.first, items.last));
  pool_.append(pool_.make_extra(pending.object).states, &dict, 1);
}

Result<NodeId> ModelJsonReader::read_modules(JsonValue main) {
  std::vector<Pending> open(1);
  TRY_ASSIGN(const NodeId root, open_module(main, open[0]));
  while (!open.empty()) {
    Pending& parent = open.back();
    if (parent.next == parent.submodules.size()) {
      close_module(parent);
      open.pop_back();
      continue;
    }
    const JsonValue def = parent.submodules[parent.next++];
    Pending child;
    TRY_ASSIGN(const NodeId object, open_module(def, child));
    const uint32_t entry[] = {text_node(text_of(def, "name")), object};
    pool_.append(parent.entries, entry, 2);
    open.push_back(std::move(child));
  }
  return root;
}

Status ModelJsonReader::read(ByteSpan model, std::optional<ByteSpan> attributes) {
  auto parsed = Json::parse(model, Code::kBadRecord, 0);
  if (!parsed.ok()) return std::move(parsed).status().in(kRecord);
  const JsonValue root = parsed->root();
  const auto main = root.get("mainModule");
  if (!main || !main->is_object() || text_of(root, "producerName") != "pytorch") {
    return Status(Code::kNotACheckpoint,
                  "the archive has no data.pkl, and its model.json describes no TorchScript module")
        .in(kRecord);
  }
  checkpoint_.format_ = Format::kTorchScript;
  checkpoint_.era_ = "1.0 to 1.3";
  pool_.pickle_bytes += model.size();
  checkpoint_.ids_ = std::make_unique<NoPersistentIds>();
  {
    // Only to make tensors: the one that interprets needs to see the whole pool.
    Interpreter maker(pool_, checkpoint_.catalog_, *checkpoint_.ids_, options_.limits);
    TRY(each_of(root, "tensors", [&](JsonValue row) { return read_tensor(row, maker); }));
  }
  const auto version = integer(root.get("protoVersion"));
  if (attributes) TRY(read_attributes(*attributes, version.value_or(0)));
  TRY_ASSIGN(const NodeId module, read_modules(*main));
  TRY(checkpoint_.finish(options_, module, std::move(checkpoint_.ids_)));
  checkpoint_.classes_ = std::move(classes_);
  checkpoint_.interpreter_->set_script_classes(&checkpoint_.classes_);
  return {};
}

}  // namespace torchmap
