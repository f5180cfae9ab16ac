// Reading the arguments of calls: small, total functions that answer "nothing" for the wrong type.
#include <algorithm>

#include "core/torch/interpreter.h"

namespace torchmap {

std::optional<int64_t> Interpreter::integer(NodeId id) const {
  const Node& node = pool_[target(id)];
  if (node.tag == Tag::kInt) return node.integer;
  if (node.tag == Tag::kBool) return node.a;
  return std::nullopt;
}

std::optional<double> Interpreter::real(NodeId id) const {
  const Node& node = pool_[target(id)];
  if (node.tag == Tag::kFloat) return node.real;
  if (node.tag == Tag::kInt) return static_cast<double>(node.integer);
  return std::nullopt;
}

std::optional<bool> Interpreter::boolean(NodeId id) const {
  const Node& node = pool_[target(id)];
  if (node.tag == Tag::kBool) return node.a != 0;
  if (node.tag == Tag::kInt) return node.integer != 0;  // protocol 0 of Python 2 and old numpy
  return std::nullopt;
}

std::optional<std::string_view> Interpreter::text(NodeId id) const {
  const Node& node = pool_[target(id)];
  if (node.tag != Tag::kStr && node.tag != Tag::kBytes) return std::nullopt;
  return node.text();
}

std::optional<std::vector<NodeId>> Interpreter::sequence(NodeId id) {
  if (!resolve(id).ok()) return std::nullopt;
  id = target(id);
  const Node& node = pool_[id];
  if ((node.tag == Tag::kTuple || node.tag == Tag::kList) && !charge(node.a).ok())
    return std::nullopt;
  if (node.tag == Tag::kTuple) {
    auto items = pool_.tuple(id);
    return std::vector<NodeId>(items.begin(), items.end());
  }
  if (node.tag == Tag::kList) return pool_.list(Pool::items_of(node));
  return std::nullopt;
}

std::optional<std::vector<int64_t>> Interpreter::integers(NodeId id) {
  auto items = sequence(id);
  if (!items) return std::nullopt;
  std::vector<int64_t> out;
  out.reserve(items->size());
  for (NodeId item : *items) {
    const auto value = integer(item);
    if (!value) return std::nullopt;
    out.push_back(*value);
  }
  return out;
}

std::optional<size_t> Interpreter::few_integers(NodeId id, int64_t (&out)[kLocalDims]) const {
  const Node& node = pool_[target(id)];
  if (node.tag != Tag::kTuple || node.a > kLocalDims) return std::nullopt;
  for (uint32_t i = 0; i < node.a; ++i) {
    const auto value = integer(pool_.words[node.b + i]);
    if (!value) return std::nullopt;
    out[i] = *value;
  }
  return node.a;
}

std::optional<std::vector<double>> Interpreter::reals(NodeId id) {
  auto items = sequence(id);
  if (!items) return std::nullopt;
  std::vector<double> out;
  out.reserve(items->size());
  for (NodeId item : *items) {
    const auto value = real(item);
    if (!value) return std::nullopt;
    out.push_back(*value);
  }
  return out;
}

std::vector<NodeId> Interpreter::first_items(NodeId id, uint32_t most) const {
  id = target(id);
  const Node& node = pool_[id];
  std::vector<NodeId> items;
  if (node.tag == Tag::kTuple) {
    for (uint32_t i = 0; i < std::min(node.a, most); ++i) items.push_back(pool_.words[node.b + i]);
  } else if (node.tag == Tag::kList && node.a <= most) {
    items = pool_.list(Pool::items_of(node));
  }
  return items;
}

std::optional<NodeId> Interpreter::entry(NodeId dict, std::string_view key) {
  std::optional<NodeId> found;
  each_entry(dict, [&](NodeId name, NodeId value) {
    if (auto string = text(name); string && *string == key) found = value;
  });
  return found;
}

}  // namespace torchmap
