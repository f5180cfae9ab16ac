#include "core/torch/quantized_module.h"

#include <array>
#include <cstring>

#include "core/torch/module.h"

namespace torchmap {
namespace {

constexpr std::string_view kModules[] = {"torch.nn.quantized.", "torch.ao.nn.quantized.",
                                         "torch.nn.intrinsic.quantized.",
                                         "torch.ao.nn.intrinsic.quantized."};

// What a convolution pickles instead of attributes: weight, bias, scale and zero point stand at
// these places of a tuple. Source: torch/ao/nn/quantized/modules/conv.py, _ConvNd.__getstate__.
constexpr uint32_t kConvFields = 15;
constexpr std::pair<const char*, uint32_t> kConvEntries[] = {
    {"weight", 10}, {"bias", 11}, {"scale", 12}, {"zero_point", 13}};

std::optional<std::string_view> class_name(const Pool& pool, NodeId object) {
  const Node& call = pool[object];
  if (call.tag != Tag::kCall) return std::nullopt;
  const Node& type = pool[pool.target(call.a)];
  if (type.tag != Tag::kGlobal) return std::nullopt;
  const GlobalName& global = pool.globals[type.a];
  for (std::string_view prefix : kModules) {
    if (global.module.starts_with(prefix)) return global.name;
  }
  return std::nullopt;
}

NodeId key_node(Pool& pool, std::string_view name) {
  return pool.add(Node::of_text(Tag::kStr, name));
}

// torch.tensor(number): float32 or int64, no dimensions.
std::optional<NodeId> scalar(Interpreter& interpreter, NodeId number) {
  Pool& pool = interpreter.pool();
  const Node value = pool[pool.target(number)];
  std::string bytes(8, '\0');
  Storage storage;
  storage.place = StoragePlace::kMemory;
  if (value.tag == Tag::kFloat) {
    const auto narrow = static_cast<float>(value.real);
    bytes.resize(sizeof narrow);
    std::memcpy(bytes.data(), &narrow, sizeof narrow);
    storage.dtype = DType::kFloat32;
  } else {
    std::memcpy(bytes.data(), &value.integer, sizeof value.integer);
    storage.dtype = DType::kInt64;
  }
  const std::string_view kept = pool.keep(std::move(bytes));
  storage.memory = as_bytes(kept).data();
  storage.bytes = kept.size();
  Catalog& catalog = interpreter.catalog();
  storage.device = catalog.device("cpu");
  Tensor tensor;
  tensor.dtype = storage.dtype;
  tensor.storage = static_cast<uint32_t>(catalog.storages.size());
  tensor.device = storage.device;
  catalog.storages.push_back(storage);
  auto row = interpreter.add_tensor(tensor, {}, {});
  if (!row.ok()) return std::nullopt;
  return pool.add(Node::words(Tag::kForeign, *row, 0, 0, static_cast<uint8_t>(Foreign::kTensor)));
}

bool is_number(const Pool& pool, NodeId id, Tag tag) { return pool[pool.target(id)].tag == tag; }

// Of a tuple of the state, not of a dict.
std::vector<StateEntry> conv_entries(Interpreter& interpreter, NodeId module) {
  Pool& pool = interpreter.pool();
  std::vector<StateEntry> entries;
  const std::vector<NodeId> states = pool.list(pool.extra(module).states);
  if (states.size() != 1) return entries;
  const NodeId state = pool.target(states[0]);
  if (pool[state].tag != Tag::kTuple || pool[state].a != kConvFields) return entries;
  for (const auto& [name, field] : kConvEntries) {
    std::optional<NodeId> value = pool.words[pool[state].b + field];
    if (is_number(pool, *value, Tag::kFloat) || is_number(pool, *value, Tag::kInt))
      value = scalar(interpreter, *value);
    if (value) entries.push_back({key_node(pool, name), *value});
  }
  return entries;
}

// Weight and bias behind the packed object: a tuple, or a TorchScript object that was given one.
std::optional<NodeId> unpacked(Interpreter& interpreter, NodeId packed) {
  Pool& pool = interpreter.pool();
  if (!interpreter.resolve(packed).ok()) return std::nullopt;
  NodeId node = pool.target(packed);
  if (pool[node].tag == Tag::kCall) {
    const std::vector<NodeId> states = pool.list(pool.extra(node).states);
    if (states.size() != 1) return std::nullopt;
    const NodeId state = pool.target(states[0]);
    if (pool[state].tag != Tag::kTuple || pool[state].a == 0) return std::nullopt;
    node = pool.target(pool.words[pool[state].b]);
  }
  if (pool[node].tag != Tag::kTuple) return std::nullopt;
  return node;
}

}  // namespace

// Source: torch/ao/nn/quantized/modules/linear.py, Linear and LinearPackedParams,
// _save_to_state_dict; conv.py, _ConvNd._save_to_state_dict (v2.13).
std::vector<StateEntry> quantized_entries(Interpreter& interpreter, NodeId module) {
  Pool& pool = interpreter.pool();
  std::vector<StateEntry> entries;
  const auto name = class_name(pool, module);
  if (!name) return entries;
  const std::vector<NodeId> dicts = attribute_dicts(interpreter, module);
  if (dicts.empty()) return conv_entries(interpreter, module);
  const auto attribute = [&](std::string_view key) -> std::optional<NodeId> {
    for (NodeId dict : dicts) {
      if (const auto value = interpreter.entry(dict, key)) return value;
    }
    return std::nullopt;
  };
  if (*name == "LinearPackedParams") {
    const auto packed = attribute("_packed_params");
    const auto weights = packed ? unpacked(interpreter, *packed) : std::nullopt;
    if (weights) entries.push_back({key_node(pool, "_packed_params"), *weights});
    return entries;
  }
  constexpr std::array<std::pair<const char*, Tag>, 2> kNumbers = {
      {{"scale", Tag::kFloat}, {"zero_point", Tag::kInt}}};
  for (const auto& [key, tag] : kNumbers) {
    const auto value = attribute(key);
    if (!value || !is_number(pool, *value, tag)) continue;
    const auto tensor = scalar(interpreter, *value);
    if (tensor) entries.push_back({key_node(pool, key), *tensor});
  }
  return entries;
}

}  // namespace torchmap
