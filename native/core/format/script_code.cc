#include "core/format/script_code.h"

#include <algorithm>

#include "core/torch/module.h"

namespace torchmap {
namespace {

std::string record_name(std::string_view module) {
  std::string name = "code/" + std::string(module) + ".py";
  std::replace(name.begin(), name.end() - 3, '.', '/');
  return name;
}

bool is_tensor(const Node& node) {
  return node.tag == Tag::kForeign && static_cast<Foreign>(node.flags) == Foreign::kTensor;
}

}  // namespace

// Calls `visit(object, global, dicts)` for each object of a class in the code, with the index of
// its class and the dicts of its attributes.
template <typename Visit>
Status ScriptCode::each_object(Visit&& visit) {
  Pool& pool = interpreter_.pool();
  const auto count = static_cast<NodeId>(pool.nodes.size());
  for (NodeId id = 0; id < count; ++id) {
    if (pool[id].tag != Tag::kCall || !interpreter_.is_script(id)) continue;
    TRY(interpreter_.charge(pool.extra(id).states.count + 1));
    const uint32_t global = pool[pool.target(pool[id].a)].a;
    TRY(visit(id, global, attribute_dicts(interpreter_, id)));
  }
  return {};
}

// A class is needed if one of its objects has a tensor of its own, or something else than
// attributes (what __getstate__ gave).
Status ScriptCode::find_classes(std::vector<bool>& needed) {
  Pool& pool = interpreter_.pool();
  needed.resize(pool.globals.size());
  return each_object([&](NodeId id, uint32_t global, const std::vector<NodeId>& dicts) -> Status {
    if (needed[global]) return {};
    if (dicts.empty()) needed[global] = pool.extra(id).states.count > 0;
    for (NodeId dict : dicts) {
      TRY(interpreter_.charge(interpreter_.entry_count(dict)));
      interpreter_.each_entry(dict, [&](NodeId, NodeId value) {
        if (is_tensor(pool[pool.target(value)])) needed[global] = true;
      });
    }
    return {};
  });
}

Status ScriptCode::find_records() {
  const Pool& pool = interpreter_.pool();
  std::vector<bool> needed;
  TRY(find_classes(needed));
  std::map<uint32_t, size_t> known;  // record of the archive -> records_
  uint64_t left = interpreter_.limits().inflated_bytes;
  for (uint32_t global = 0; global < needed.size(); ++global) {
    if (!needed[global]) continue;
    const uint32_t index = archive_.find(record_name(pool.globals[global].module));
    if (index == ZipArchive::kNone) continue;
    const auto [entry, fresh] = known.try_emplace(index, records_.size());
    if (!fresh) {
      if (entry->second < records_.size()) records_[entry->second].globals.push_back(global);
      continue;
    }
    const torchmap::Record& row = archive_.records()[index];
    entry->second = SIZE_MAX;
    const uint64_t most = std::max(row.size, row.stored_size);
    if (most > left) continue;
    auto payload = archive_.payload(source_, index);
    if (!payload.ok()) continue;
    left -= most;
    entry->second = records_.size();
    records_.push_back({row.name, *payload, row.size, row.method == 8, {global}});
  }
  return {};
}

Result<std::span<const ScriptCode::Record>> ScriptCode::records() {
  if (!found_) TRY(find_records());
  found_ = true;
  return std::span<const Record>(records_);
}

Status ScriptCode::flag_parameters(const ScriptClasses& classes) {
  Pool& pool = interpreter_.pool();
  return each_object([&](NodeId, uint32_t global, const std::vector<NodeId>& dicts) -> Status {
    const ScriptClass* type = classes.find(global);
    if (type == nullptr || type->parameters.empty()) return {};
    for (NodeId dict : dicts) {
      TRY(interpreter_.charge(interpreter_.entry_count(dict)));
      interpreter_.each_entry(dict, [&](NodeId key, NodeId value) {
        const Node& node = pool[pool.target(value)];
        if (is_tensor(node) && type->has_parameter(interpreter_.text(key).value_or("")))
          interpreter_.catalog().tensors[node.a].flags |= kIsParameter;
      });
    }
    return {};
  });
}

Status ScriptCode::classify(std::span<const InflatedRecord> inflated) {
  if (classified_) return {};
  TRY_ASSIGN(const auto all, records());
  const Pool& pool = interpreter_.pool();
  std::map<std::string_view, ByteSpan> ready;
  for (const InflatedRecord& record : inflated) ready.emplace(record.name, record.bytes);
  for (const Record& record : all) {
    ByteSpan source = record.stored;
    if (record.deflated) {
      const auto given = ready.find(record.name);
      if (given == ready.end() || given->second.size() != record.bytes) continue;
      source = given->second;
    }
    std::map<std::string_view, uint32_t> wanted;
    for (uint32_t global : record.globals) wanted.emplace(pool.globals[global].name, global);
    parse_script_classes(as_text(source), [&](std::string_view name, ScriptClass found) {
      const auto global = wanted.find(name);
      if (global != wanted.end()) classes_.add(global->second, std::move(found));
    });
  }
  TRY(flag_parameters(classes_));
  interpreter_.set_script_classes(&classes_);
  classified_ = true;
  return {};
}

}  // namespace torchmap
