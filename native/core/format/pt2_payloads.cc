#include "core/format/pt2_payloads.h"

#include <algorithm>

#include "core/format/storage_record.h"

namespace torchmap {
namespace {

constexpr int64_t kStrided = 7;  // Layout.Strided of the schema

Status bad_payload(std::string what) { return Status(Code::kBadTensor, std::move(what)); }

// ScalarType of the schema, which is not c10's. Source: torch/_export/serde/schema.py (v2.13).
std::optional<DType> dtype_of(int64_t number) {
  static constexpr std::pair<int64_t, DType> kDTypes[] = {
      {1, DType::kUInt8},           {2, DType::kInt8},
      {3, DType::kInt16},           {4, DType::kInt32},
      {5, DType::kInt64},           {6, DType::kFloat16},
      {7, DType::kFloat32},         {8, DType::kFloat64},
      {9, DType::kComplex32},       {10, DType::kComplex64},
      {11, DType::kComplex128},     {12, DType::kBool},
      {13, DType::kBFloat16},       {28, DType::kUInt16},
      {29, DType::kFloat8E4M3Fn},   {30, DType::kFloat8E5M2},
      {31, DType::kFloat8E4M3Fnuz}, {32, DType::kFloat8E5M2Fnuz},
      {33, DType::kFloat8E8M0Fnu},  {34, DType::kUInt32},
      {35, DType::kUInt64}};
  for (const auto& [known, dtype] : kDTypes) {
    if (known == number) return dtype;
  }
  return std::nullopt;
}

// A SymInt, {"as_int": 3}: an expression has no place in a tensor that is stored.
std::optional<int64_t> symbolic_integer(JsonValue value) {
  const auto number = value.is_object() && value.size() == 1 ? value.get("as_int") : std::nullopt;
  return number ? number->integer() : std::nullopt;
}

std::optional<int64_t> plain_integer(JsonValue value) { return value.integer(); }

// An array of integers, each as `read` has it.
template <typename Read>
Result<std::vector<int64_t>> integers(std::optional<JsonValue> array, std::string_view what,
                                      Read&& read) {
  if (!array || !array->is_array())
    return bad_payload("its " + std::string(what) + " are no array");
  std::vector<int64_t> out;
  TRY(array->each_item([&](JsonValue item) -> Status {
    const auto number = read(item);
    if (!number) return bad_payload("its " + std::string(what) + " are not all integers");
    out.push_back(*number);
    return {};
  }));
  return out;
}

Result<bool> boolean(JsonValue meta, std::string_view key) {
  const auto value = meta.get(key);
  const auto set = value ? value->boolean() : std::nullopt;
  if (!set) return bad_payload("its '" + std::string(key) + "' is neither true nor false");
  return *set;
}

// {"type": "cuda", "index": 0} as "cuda:0".
Result<std::string> device_of(std::optional<JsonValue> device) {
  const auto type = device ? device->get("type") : std::nullopt;
  const auto name = type ? type->text() : std::nullopt;
  if (!name) return bad_payload("its device has no type");
  const auto index = device->get("index");
  if (!index || index->is_null()) return std::string(*name);
  const auto number = index->integer();
  if (!number) return bad_payload("its device has an index that is no integer");
  return std::string(*name) + ":" + std::to_string(*number);
}

}  // namespace

NodeId Pt2Payloads::add(Pool& pool, JsonValue meta, uint32_t record, std::string_view config) {
  return add(pool, Payload{0, meta, record, 0, config});
}

NodeId Pt2Payloads::add_pickled(Pool& pool, JsonValue meta, NodeId base, std::string_view config) {
  return add(pool, Payload{0, meta, ZipArchive::kNone, base, config});
}

NodeId Pt2Payloads::add_view(Pool& pool, JsonValue meta, NodeId base, std::string_view config) {
  return add(pool, Payload{0, meta, ZipArchive::kNone, base, config});
}

NodeId Pt2Payloads::add(Pool& pool, Payload payload) {
  const auto path = payload.meta.get("path_name");
  const auto text = path ? path->text() : std::nullopt;
  const NodeId id = pool.add(Node::of_text(Tag::kStr, text.value_or("")));
  payload.node = pool.add(Node::words(Tag::kPersistent, id, 0, 0));
  payloads_.push_back(payload);
  return payload.node;
}

Result<Persistent> Pt2Payloads::resolve(Interpreter& interpreter, NodeId node) {
  const auto found =
      std::lower_bound(payloads_.begin(), payloads_.end(), node,
                       [](const Payload& payload, NodeId id) { return payload.node < id; });
  if (found == payloads_.end() || found->node != node) return Persistent{};
  const Payload& payload = *found;
  if (payload.base != 0 && payload.meta.is_object()) return pickled(interpreter, payload);
  auto made = payload.base != 0 ? view(interpreter, payload) : tensor(interpreter, payload);
  if (!made.ok()) return std::move(made).status().in(payload.config);
  return Persistent{Persistent::kTensor, *made};
}

Result<Persistent> Pt2Payloads::pickled(Interpreter& interpreter, const Payload& payload) {
  TRY(interpreter.resolve(payload.base));
  const auto is_parameter = payload.meta.get("is_param");
  const Node& value = interpreter.pool()[interpreter.target(payload.base)];
  if (is_parameter && is_parameter->boolean() == true && value.tag == Tag::kForeign &&
      static_cast<Foreign>(value.flags) == Foreign::kTensor) {
    Tensor& tensor = interpreter.catalog().tensors[value.a];
    tensor.flags = static_cast<uint16_t>(tensor.flags | kIsParameter);
  }
  return Persistent{Persistent::kAlias, payload.base};
}

// One row for each record, so that tensors over one record share it.
Result<uint32_t> Pt2Payloads::storage(Interpreter& interpreter, const Payload& payload,
                                      std::string_view device, bool is_empty) {
  Catalog& catalog = interpreter.catalog();
  const Record& row = archive_.records()[payload.record];
  // Fake tensors are written without bytes.
  const bool nowhere = device == "meta" || (row.size == 0 && !is_empty);
  const auto [known, fresh] = stored_.try_emplace({payload.record, nowhere},
                                                  static_cast<uint32_t>(catalog.storages.size()));
  if (!fresh) return known->second;
  Storage storage;
  storage.key = payload.meta.get("path_name")->text().value_or("");
  storage.device = catalog.device(interpreter.pool().keep(std::string(device)));
  storage.untyped = true;
  storage.swap = big_endian_ ? 0 : 1;
  if (!nowhere) {
    storage.place = StoragePlace::kRecord;
    storage.record = payload.record;
    storage.bytes = row.size;
  }
  catalog.storages.push_back(storage);
  return known->second;
}

Result<uint32_t> Pt2Payloads::tensor(Interpreter& interpreter, const Payload& payload) {
  const JsonValue meta = payload.meta;
  const auto path = meta.get("path_name");
  const auto path_name = path ? path->text() : std::nullopt;
  if (!path_name) return bad_payload("it has no 'path_name'");
  if (payload.record == ZipArchive::kNone) {
    return Status(Code::kBadRecord,
                  "its record '" + std::string(*path_name) + "' is not in the archive");
  }
  const Record& row = archive_.records()[payload.record];
  TRY_ASSIGN(const bool is_pickle, boolean(meta, "use_pickle"));
  if (is_pickle) {
    return Status(Code::kUnsupportedFormat, "record '" + std::string(row.name) +
                                                "' holds an object of a custom class, which is "
                                                "not read")
        .about("custom objects");
  }
  TRY(check_method(row));
  TRY_ASSIGN(const bool is_parameter, boolean(meta, "is_param"));
  const auto described = meta.get("tensor_meta");
  if (!described || !described->is_object()) return bad_payload("it has no 'tensor_meta'");

  const auto type = described->get("dtype");
  const auto type_number = type ? type->integer() : std::nullopt;
  if (!type_number) return bad_payload("its dtype is no integer");
  const auto dtype = dtype_of(*type_number);
  if (!dtype) {
    return Status(Code::kUnsupportedDtype,
                  "dtype " + std::to_string(*type_number) + " of torch.export is unknown");
  }
  const auto layout = described->get("layout");
  const auto layout_number = layout ? layout->integer() : std::nullopt;
  if (!layout_number) return bad_payload("its layout is no integer");
  if (*layout_number != kStrided) {
    return Status(Code::kUnsupportedLayout, "layout " + std::to_string(*layout_number) +
                                                " of torch.export is none that has raw bytes");
  }
  TRY_ASSIGN(const std::vector<int64_t> sizes,
             integers(described->get("sizes"), "sizes", symbolic_integer));
  TRY_ASSIGN(const std::vector<int64_t> strides,
             integers(described->get("strides"), "strides", symbolic_integer));
  const auto start = described->get("storage_offset");
  const auto offset = start ? symbolic_integer(*start) : std::nullopt;
  if (!offset) return bad_payload("its storage offset is no integer");
  TRY_ASSIGN(const std::string device, device_of(described->get("device")));
  TRY_ASSIGN(const bool requires_grad, boolean(*described, "requires_grad"));

  Tensor tensor;
  const bool is_empty = std::find(sizes.begin(), sizes.end(), 0) != sizes.end();
  TRY_ASSIGN(tensor.storage, storage(interpreter, payload, device, is_empty));
  tensor.dtype = *dtype;
  tensor.offset = *offset;
  tensor.flags = static_cast<uint16_t>((is_parameter ? kIsParameter : 0) |
                                       (requires_grad ? kRequiresGrad : 0));
  return interpreter.add_tensor(tensor, sizes, strides);
}

Result<uint32_t> Pt2Payloads::view(Interpreter& interpreter, const Payload& payload) {
  std::vector<JsonValue> items;
  TRY(payload.meta.each_item([&](JsonValue item) -> Status {
    items.push_back(item);
    return {};
  }));
  if (items.size() != 4) return bad_payload("it is no array of file, sizes, strides and offset");
  TRY_ASSIGN(const std::vector<int64_t> sizes, integers(items[1], "sizes", plain_integer));
  TRY_ASSIGN(const std::vector<int64_t> strides, integers(items[2], "strides", plain_integer));
  const auto offset = items[3].integer();
  if (!offset) return bad_payload("its storage offset is no integer");
  TRY_ASSIGN(const uint32_t base, interpreter.tensor(payload.base));
  const Tensor& complete = interpreter.catalog().tensors[base];
  if (complete.layout != Layout::kStrided || complete.storage == kNoIndex) {
    return Status(Code::kUnsupportedLayout, "it is a view of a tensor that is not strided");
  }
  Tensor tensor;
  tensor.storage = complete.storage;
  tensor.dtype = complete.dtype;
  tensor.flags = complete.flags & kRequiresGrad;
  tensor.offset = *offset;
  return interpreter.add_tensor(tensor, sizes, strides);
}

}  // namespace torchmap
