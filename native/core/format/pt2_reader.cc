#include "core/format/pt2_reader.h"

#include "core/format/nested_zip.h"
#include "core/source/slice.h"

namespace torchmap {
namespace {

constexpr std::string_view kModels = "models/", kJson = ".json";
constexpr std::string_view kSamples = "data/sample_inputs/", kNested = ".pt";
constexpr std::string_view kWeights = "data/weights/", kConstants = "data/constants/";
constexpr std::string_view kOtherWeights = "xl_model_weights/";
constexpr std::string_view kInductor = "data/aotinductor/",
                           kInductorConfig = "/weights_config.json";
constexpr std::string_view kStateDict = "state_dict", kConstantsKey = "constants",
                           kSampleInputs = "sample_inputs", kInductorKey = "aotinductor";
// Members of the old layout, and what they were called before 2.2.
struct OldMember {
  std::string_view key, name, older;
};
constexpr OldMember kOld[] = {
    {kStateDict, "serialized_state_dict.pt", "serialized_state_dict.json"},
    {kConstantsKey, "serialized_constants.pt", "serialized_constants.json"},
    {kSampleInputs, "serialized_example_inputs.pt", ""}};

// What stands between the two in `name`, or nothing.
std::optional<std::string_view> between(std::string_view name, std::string_view front,
                                        std::string_view back) {
  if (name.size() < front.size() + back.size()) return std::nullopt;
  if (!name.starts_with(front) || !name.ends_with(back)) return std::nullopt;
  return name.substr(front.size(), name.size() - front.size() - back.size());
}

}  // namespace

bool Pt2Reader::recognises(const ZipArchive& archive) {
  return archive.find("archive_format") != ZipArchive::kNone ||
         archive.find("serialized_exported_program.json") != ZipArchive::kNone;
}

// Only the exact name: if names of other case counted, many models could share one table.
uint32_t Pt2Reader::find(std::string_view name) const {
  const ZipArchive& archive = *checkpoint_.archive_;
  const uint32_t index = archive.find(name);
  if (index == ZipArchive::kNone) return index;
  return archive.name_in_root(archive.records()[index]) == name ? index : ZipArchive::kNone;
}

Result<JsonValue> Pt2Reader::json(uint32_t record) {
  const ZipArchive& archive = *checkpoint_.archive_;
  const Record& row = archive.records()[record];
  TRY_ASSIGN(const auto text, zip_.record(*archive.name_in_root(row)));
  uint64_t offset = 0;
  if (row.method == 0) {
    TRY_ASSIGN(offset, archive.payload_offset(*checkpoint_.source_, record));
  }
  auto parsed = Json::parse(*text, Code::kBadRecord, offset);
  if (!parsed.ok()) return std::move(parsed).status().in(row.name);
  checkpoint_.pool_->pickle_bytes += text->size();
  return payloads_->keep(std::move(parsed).value());
}

// The value of a nested archive of torch.save; an empty record stands for None.
Result<NodeId> Pt2Reader::nested(uint32_t record) {
  const auto [known, fresh] = nested_.try_emplace(record, Pool::kNoneNode);
  if (!fresh) return known->second;
  read_[record] = true;
  const ZipArchive& archive = *checkpoint_.archive_;
  const Record& row = archive.records()[record];
  if (row.size == 0) return known->second;
  NestedPlace place;
  place.record = row.name;
  if (row.method == 0 && (row.flags & 1) == 0) {
    TRY_ASSIGN(place.offset, archive.payload_offset(*checkpoint_.source_, record));
    TRY_ASSIGN(place.source, slice_source(checkpoint_.source_, place.offset, row.size));
  } else {
    TRY_ASSIGN(const auto inflated, zip_.record(*archive.name_in_root(row)));
    place.memory = inflated->data();
    place.source = open_memory(*inflated);
  }
  Pool& pool = *checkpoint_.pool_;
  const auto first = static_cast<NodeId>(pool.nodes.size());
  TRY_ASSIGN(NestedPickle pickle, read_nested_zip(place, pool, options_));
  ids_->begin(first, std::move(pickle.ids));
  ids_->begin(static_cast<NodeId>(pool.nodes.size()), payloads_);
  return known->second = pickle.root;
}

Result<NodeId> Pt2Reader::payload(const Folder& folder, JsonValue meta, uint32_t config) {
  const ZipArchive& archive = *checkpoint_.archive_;
  Pool& pool = *checkpoint_.pool_;
  const auto path = meta.get("path_name");
  const auto name = path ? path->text() : std::nullopt;
  const uint32_t record =
      name ? find(std::string(folder.path) + std::string(*name)) : ZipArchive::kNone;
  bool is_pickle = false;
  if (record != ZipArchive::kNone) {
    read_[record] = true;
    const auto pickled = meta.get("use_pickle");
    const bool is_object = name->starts_with("custom_obj_") || name->starts_with("opaque_obj_");
    is_pickle = pickled && pickled->boolean() == true && !is_object;
  }
  if (pool.nodes.size() >= options_.limits.nodes) {
    return limit_reached(Code::kLimitNodes, "nodes", options_.limits.nodes, pool.nodes.size() + 1);
  }
  const std::string_view place = archive.records()[config].name;
  if (!is_pickle) return payloads_->add(pool, meta, record, place);
  TRY_ASSIGN(const NodeId value, nested(record));
  return payloads_->add_pickled(pool, meta, value, place);
}

Result<NodeId> Pt2Reader::table(const Folder& folder, uint32_t config) {
  TRY_ASSIGN(const JsonValue root, json(config));
  read_[config] = true;
  const std::string_view record = checkpoint_.archive_->records()[config].name;
  const auto entries = root.get("config");
  if (!entries || !entries->is_object())
    return Status(Code::kBadRecord, "the table of payloads has no object 'config'").in(record);
  DictBuilder dict(*checkpoint_.pool_);
  TRY(entries->each_entry([&](std::string_view name, JsonValue meta) -> Status {
    TRY_ASSIGN(const NodeId value, payload(folder, meta, config));
    dict.add(name, value);
    return {};
  }));
  return dict.finish();
}

Result<NodeId> Pt2Reader::model(const Folder& folder, std::string_view name) {
  const std::string stem = std::string(folder.path) + std::string(name);
  const uint32_t saved = find(stem + std::string(kNested));
  if (saved != ZipArchive::kNone) {
    checkpoint_.era_ = "2.8";
    return nested(saved);
  }
  const uint32_t config = find(stem + std::string(folder.config));
  if (config != ZipArchive::kNone) return table(folder, config);
  const std::string wanted = stem + std::string(folder.config);
  return Status(Code::kBadRecord, "record '" + wanted + "' is not in the archive though model '" +
                                      std::string(name) + "' is")
      .in(wanted);
}

void Pt2Reader::add(std::string_view key, std::string_view model, NodeId value) {
  if (value != Pool::kNoneNode) sections_[key].push_back({model, value});
}

Result<NodeId> Pt2Reader::inductor_weight(JsonValue meta, uint32_t config) {
  std::optional<std::string_view> file;
  TRY(meta.each_item([&](JsonValue item) -> Status {
    if (!file) file = item.text().value_or("");
    return {};
  }));
  const std::string_view table = checkpoint_.archive_->records()[config].name;
  const std::string name = std::string(kWeights) + std::string(file.value_or(""));
  const uint32_t record = find(name);
  if (record == ZipArchive::kNone)
    return Status(Code::kBadRecord, "record '" + name + "' is not in the archive").in(table);
  TRY_ASSIGN(const NodeId complete, nested(record));
  return payloads_->add_view(*checkpoint_.pool_, meta, complete, table);
}

// Weights that AOTInductor keeps on disk: {name: [file, sizes, strides, offset]}.
// Source: torch/export/pt2_archive/_package.py, _package_aoti_files and load_pt2 (v2.13).
Status Pt2Reader::read_inductor() {
  const ZipArchive& archive = *checkpoint_.archive_;
  Pool& pool = *checkpoint_.pool_;
  for (uint32_t config = 0; config < archive.records().size(); ++config) {
    const Record& row = archive.records()[config];
    const auto inside = archive.name_in_root(row);
    const auto name = inside ? between(*inside, kInductor, kInductorConfig) : std::nullopt;
    if (!name || name->find('/') != std::string_view::npos) continue;
    TRY_ASSIGN(const JsonValue root, json(config));
    if (!root.is_object())
      return Status(Code::kBadRecord, "the table of weights is no object").in(row.name);
    DictBuilder dict(pool);
    TRY(root.each_entry([&](std::string_view key, JsonValue meta) -> Status {
      TRY_ASSIGN(const NodeId value, inductor_weight(meta, config));
      dict.add(key, value);
      return {};
    }));
    if (!dict.empty()) add(kInductorKey, *name, dict.finish());
  }
  return {};
}

Status Pt2Reader::check_version() {
  TRY_ASSIGN(const auto format, zip_.record("archive_format"));
  if (as_text(*format) != "pt2") {
    return Status(Code::kUnsupportedFormat, "record 'archive_format' holds '" +
                                                std::string(as_text(*format).substr(0, 32)) +
                                                "' where pt2 is known")
        .in("archive_format");
  }
  TRY_ASSIGN(const auto version, zip_.record("archive_version"));
  if (version && as_text(*version) != "0") {
    return Status(Code::kUnsupportedVersion, "the torch.export archive has version '" +
                                                 std::string(as_text(*version).substr(0, 32)) +
                                                 "' where 0 is known")
        .in("archive_version")
        .about("version");
  }
  TRY(zip_.read_version());
  return zip_.read_byte_order();
}

// Records among the weights that no table names would otherwise be missing without a word.
void Pt2Reader::list_unread() {
  const ZipArchive& archive = *checkpoint_.archive_;
  for (size_t i = 0; i < archive.records().size(); ++i) {
    const auto name = archive.name_in_root(archive.records()[i]);
    if (!name || read_[i] || name->ends_with("/")) continue;
    if (!name->starts_with(kWeights) && !name->starts_with(kConstants) &&
        !name->starts_with(kOtherWeights)) {
      continue;
    }
    checkpoint_.skipped_.push_back({std::string(*name), Code::kUnsupportedFormat,
                                    "no table of the archive says what this record of " +
                                        std::to_string(archive.records()[i].size) +
                                        " bytes holds"});
  }
}

Status Pt2Reader::read_models() {
  TRY(check_version());
  checkpoint_.era_ = "2.9 or newer";
  payloads_ = std::make_shared<Pt2Payloads>(*checkpoint_.archive_, checkpoint_.big_endian_);
  ids_->begin(static_cast<NodeId>(checkpoint_.pool_->nodes.size()), payloads_);
  const ZipArchive& archive = *checkpoint_.archive_;
  for (const Record& row : archive.records()) {
    const auto inside = archive.name_in_root(row);
    const auto name = inside ? between(*inside, kModels, kJson) : std::nullopt;
    if (!name) continue;
    TRY_ASSIGN(const NodeId weights, model({kWeights, kStateDict, "_weights_config.json"}, *name));
    add(kStateDict, *name, weights);
    TRY_ASSIGN(const NodeId constants,
               model({kConstants, kConstantsKey, "_constants_config.json"}, *name));
    add(kConstantsKey, *name, constants);
    const uint32_t samples =
        find(std::string(kSamples) + std::string(*name) + std::string(kNested));
    if (samples == ZipArchive::kNone) continue;
    TRY_ASSIGN(const NodeId inputs, nested(samples));
    add(kSampleInputs, *name, inputs);
  }
  TRY(read_inductor());
  list_unread();
  return {};
}

Status Pt2Reader::read_single() {
  checkpoint_.era_ = "2.1 to 2.7";
  payloads_ = std::make_shared<Pt2Payloads>(*checkpoint_.archive_, false);
  for (const OldMember& member : kOld) {
    uint32_t record = find(member.name);
    if (record == ZipArchive::kNone && !member.older.empty()) record = find(member.older);
    if (record == ZipArchive::kNone) {
      if (member.key != kStateDict) continue;
      return Status(Code::kBadRecord,
                    "record '" + std::string(member.name) + "' is not in the archive")
          .in(member.name);
    }
    TRY_ASSIGN(const NodeId value, nested(record));
    add(member.key, "model", value);
  }
  return {};
}

Status Pt2Reader::read() {
  checkpoint_.format_ = Format::kPt2;
  read_.resize(checkpoint_.archive_->records().size());
  const bool is_old = find("archive_format") == ZipArchive::kNone;
  TRY(is_old ? read_single() : read_models());
  Pool& pool = *checkpoint_.pool_;
  size_t models = 0;
  for (const auto& [key, section] : sections_) models = std::max(models, section.size());
  DictBuilder root(pool);
  for (std::string_view key : {kStateDict, kConstantsKey, kSampleInputs, kInductorKey}) {
    const auto found = sections_.find(key);
    if (found == sections_.end()) continue;
    NodeId value = found->second.front().value;
    if (models > 1) {
      DictBuilder by_model(pool);
      for (const Model& model : found->second) by_model.add(model.name, model.value);
      value = by_model.finish();
    }
    root.add(key, value);
    checkpoint_.branches_.push_back({key == kStateDict ? std::string() : std::string(key), value});
  }
  return checkpoint_.finish(options_, root.finish(), std::move(ids_));
}

}  // namespace torchmap
