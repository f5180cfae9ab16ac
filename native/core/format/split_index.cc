#include "core/format/split_index.h"

#include <map>

#include "core/json.h"

namespace torchmap {
namespace {

Status bad_index(const std::string& what) {
  return Status(Code::kBadIndex, "the index is wrong: " + what);
}

bool begins_as_object(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && text[first] == '{';
}

}  // namespace

Result<std::optional<SplitIndex>> read_split_index(Source& source, const Limits& limits) {
  constexpr uint64_t kHeadBytes = 64;
  TRY_ASSIGN(const ByteSpan head, source.view(0, std::min(kHeadBytes, source.size())));
  if (!begins_as_object(as_text(head))) return std::optional<SplitIndex>();
  if (source.size() > limits.name_bytes)
    return limit_reached(Code::kLimitNames, "nameBytes", limits.name_bytes, source.size());
  TRY_ASSIGN(const ByteSpan text, source.view(0, source.size()));
  auto json = Json::parse(text, Code::kBadIndex, 0);
  if (!json.ok()) {
    if (as_text(text).find("\"weight_map\"") == std::string_view::npos)
      return std::optional<SplitIndex>();
    return std::move(json).status();
  }
  if (!json->root().is_object()) return std::optional<SplitIndex>();
  const auto weight_map = json->root().get("weight_map");
  if (!weight_map) return std::optional<SplitIndex>();
  if (!weight_map->is_object()) return bad_index("weight_map is no object");
  if (weight_map->size() > limits.names)
    return limit_reached(Code::kLimitNames, "names", limits.names, weight_map->size());

  SplitIndex index;
  std::map<std::string_view, uint32_t> known;
  uint32_t last = 0;  // neighbours are in the same file, mostly
  TRY(weight_map->each_entry([&](std::string_view name, JsonValue value) -> Status {
    const auto file = value.text();
    if (!file) return bad_index("tensor '" + std::string(name) + "' has no file name");
    if (index.files.empty() || index.files[last] != *file) {
      const auto [found, fresh] =
          known.try_emplace(*file, static_cast<uint32_t>(index.files.size()));
      if (fresh) index.files.emplace_back(*file);
      last = found->second;
    }
    index.names.text += name;
    index.names.ends.push(index.names.text.size());
    index.names.tensors.push(last);
    return {};
  }));
  return std::optional<SplitIndex>(std::move(index));
}

}  // namespace torchmap
