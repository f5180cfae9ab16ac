#include "core/format/safetensors_reader.h"

#include <algorithm>
#include <bit>

#include "core/hash.h"
#include "core/torch/geometry.h"

namespace torchmap {
namespace {

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;
// Containers inside containers that the reference's JSON reader (serde_json) goes into.
constexpr size_t kMaxDepth = 127;

// Depth of the deepest container of valid JSON.
size_t depth_of(std::string_view json) {
  size_t depth = 0, deepest = 0;
  bool in_text = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_text) {
      if (c == '\\') ++i;
      in_text = c != '"';
    } else if (c == '{' || c == '[') {
      deepest = std::max(deepest, ++depth);
    } else if (c == '}' || c == ']') {
      --depth;
    } else {
      in_text = c == '"';
    }
  }
  return deepest;
}

std::string quoted(std::string_view name) { return "'" + std::string(name) + "'"; }

}  // namespace

struct SafetensorsReader::Type {
  std::string_view name;
  uint8_t bits;
  std::optional<DType> dtype;  // where torch has the same
};

// Source: safetensors/src/tensor.rs, Dtype (v0.8.0).
const SafetensorsReader::Type SafetensorsReader::kTypes[] = {
    {"F32", 32, DType::kFloat32},
    {"BF16", 16, DType::kBFloat16},
    {"F16", 16, DType::kFloat16},
    {"I64", 64, DType::kInt64},
    {"U8", 8, DType::kUInt8},
    {"I8", 8, DType::kInt8},
    {"I32", 32, DType::kInt32},
    {"BOOL", 8, DType::kBool},
    {"F8_E4M3", 8, DType::kFloat8E4M3Fn},
    {"F8_E5M2", 8, DType::kFloat8E5M2},
    {"F8_E8M0", 8, DType::kFloat8E8M0Fnu},
    {"F8_E4M3FNUZ", 8, DType::kFloat8E4M3Fnuz},
    {"F8_E5M2FNUZ", 8, DType::kFloat8E5M2Fnuz},
    {"I16", 16, DType::kInt16},
    {"U16", 16, DType::kUInt16},
    {"U32", 32, DType::kUInt32},
    {"U64", 64, DType::kUInt64},
    {"F64", 64, DType::kFloat64},
    {"C64", 64, DType::kComplex64},
    {"F4", 4, DType::kFloat4E2M1FnX2},  // two of them are one element of torch's
    {"F6_E2M3", 6, std::nullopt},
    {"F6_E3M2", 6, std::nullopt},
};

const SafetensorsReader::Type* SafetensorsReader::find_type(std::string_view name) {
  for (const Type& type : kTypes) {
    if (type.name == name) return &type;
  }
  return nullptr;
}

bool starts_like_safetensors(ByteSpan head) {
  if (head.size() <= kLengthBytes) return false;
  const auto length = load_le<uint64_t>(head.data());
  std::string_view text = as_text(head.subspan(kLengthBytes));
  const size_t brace = std::min(text.size(), text.find_first_not_of(" \t\r\n"));
  text.remove_prefix(brace);
  if (!text.empty() && text.front() != '{') return false;
  if (length <= UINT32_MAX) return true;
  // Longer than the format allows: only what goes on like it is called a damaged one.
  return brace == 0 && (text.starts_with("{\"") || text == "{}");
}

Status SafetensorsReader::wrong(std::string_view at, std::string what, Code code) const {
  Status status(code, std::move(what));
  if (const auto position = json_->position(at)) return std::move(status).at(kLengthBytes + *position);
  return status;
}

Status SafetensorsReader::read_header() {
  Source& source = *checkpoint_.source_;
  std::byte length[kLengthBytes];
  TRY(source.read(0, length));
  header_bytes_ = load_le<uint64_t>(length);
  if (header_bytes_ > kMaxHeaderBytes) {
    return Status(Code::kBadIndex, "the file looks like safetensors with a header of " +
                                       std::to_string(header_bytes_) + " bytes, where " +
                                       std::to_string(kMaxHeaderBytes) + " are allowed")
        .at(0);
  }
  const uint64_t have = source.size() - kLengthBytes;
  if (header_bytes_ > have) {
    return Status(Code::kTruncated, "the safetensors header needs " +
                                        std::to_string(header_bytes_) + " bytes but the file has " +
                                        std::to_string(have) +
                                        " behind its length, likely an incomplete download")
        .at(kLengthBytes);
  }
  // A view of a source that is not mapped would keep the bytes.
  std::string copy;
  ByteSpan text;
  if (source.mapped().empty()) {
    copy.resize(static_cast<size_t>(header_bytes_));
    TRY(source.read(kLengthBytes, std::as_writable_bytes(std::span(copy))));
    text = as_bytes(copy);
  } else {
    TRY_ASSIGN(text, source.view(kLengthBytes, header_bytes_));
  }
  TRY_ASSIGN(json_, Json::parse(text, Code::kBadIndex, kLengthBytes));
  if (!json_->root().is_object())
    return Status(Code::kBadIndex, "the safetensors header is no JSON object").at(kLengthBytes);
  TRY(read_entries());
  if (has_nested_extras_ && depth_of(as_text(text)) > kMaxDepth) {
    return Status(Code::kBadIndex, "the safetensors header is nested deeper than " +
                                       std::to_string(kMaxDepth) + " levels")
        .at(kLengthBytes);
  }
  return {};
}

Status SafetensorsReader::read_entries() {
  const uint64_t most = options_.limits.nodes;
  const uint64_t count = json_->root().size();
  // A key and a tensor each.
  if (count > most / 2) return limit_reached(Code::kLimitNodes, "nodes", most, 2 * count);
  rows_.reserve(static_cast<size_t>(count));
  return json_->root().each_entry([&](std::string_view key, JsonValue value) {
    return key == "__metadata__" ? read_metadata(key, value) : read_row(key, value);
  });
}

Status SafetensorsReader::read_metadata(std::string_view key, JsonValue value) {
  if (std::exchange(has_metadata_, true)) return wrong(key, "'__metadata__' is there twice");
  if (value.is_null()) return {};
  if (!value.is_object()) return wrong(key, "'__metadata__' is no JSON object");
  Names& pairs = metadata_.emplace();
  return value.each_entry([&](std::string_view name, JsonValue item) -> Status {
    const auto text = item.text();
    if (!text) return wrong(name, "the entry " + quoted(name) + " of '__metadata__' is no text");
    for (const std::string_view part : {name, *text}) {
      pairs.text += part;
      pairs.ends.push(pairs.text.size());
    }
    return {};
  });
}

// {"dtype": .., "shape": .., "data_offsets": ..} with whatever else, or [dtype, shape, offsets].
Status SafetensorsReader::read_row(std::string_view name, JsonValue value) {
  static constexpr std::string_view kFields[] = {"dtype", "shape", "data_offsets"};
  Row row;
  row.name = name;
  size_t given = 0;
  if (value.is_object()) {
    bool seen[std::size(kFields)] = {};
    TRY(value.each_entry([&](std::string_view field, JsonValue item) -> Status {
      const auto* known = std::find(std::begin(kFields), std::end(kFields), field);
      if (known == std::end(kFields)) {
        has_nested_extras_ |= item.is_object() || item.is_array();
        return {};
      }
      if (std::exchange(seen[known - kFields], true))
        return wrong(field, "tensor " + quoted(name) + " has two " + quoted(field));
      ++given;
      return read_field(row, field, item);
    }));
  } else if (value.is_array() && value.size() == std::size(kFields)) {
    TRY(value.each_item([&](JsonValue item) { return read_field(row, kFields[given++], item); }));
  }
  if (given != std::size(kFields)) {
    return wrong(name, "tensor " + quoted(name) +
                           " lacks one of 'dtype', 'shape' and 'data_offsets'");
  }
  rows_.push_back(row);
  return {};
}

// {"F32": null} is the same as "F32".
Status SafetensorsReader::read_type(Row& row, JsonValue value) {
  std::optional<std::string_view> name = value.text();
  if (value.is_object() && value.size() == 1) {
    TRY(value.each_entry([&](std::string_view key, JsonValue item) -> Status {
      if (item.is_null()) name = key;
      return {};
    }));
  }
  if (!name) return wrong(row.name, "tensor " + quoted(row.name) + " has a dtype that is no text");
  row.type = find_type(*name);
  if (row.type != nullptr) return {};
  return wrong(row.name,
               "tensor " + quoted(row.name) + " has dtype " + quoted(*name) + ", which is unknown",
               Code::kUnsupportedDtype)
      .about(*name);
}

Status SafetensorsReader::read_field(Row& row, std::string_view field, JsonValue value) {
  if (field == "dtype") return read_type(row, value);
  const auto bad = [&](std::string_view what) {
    return wrong(row.name,
                 "tensor " + quoted(row.name) + " has " + quoted(field) + std::string(what));
  };
  if (!value.is_array()) return bad(" that is no list");
  const bool is_shape = field == "shape";
  uint64_t offsets[2] = {};
  if (is_shape) {
    row.first_dim = static_cast<uint32_t>(dims_.size());
    row.ndim = static_cast<uint32_t>(value.size());
  } else if (value.size() != std::size(offsets)) {
    return bad(" of " + std::to_string(value.size()) + " values instead of 2");
  }
  size_t count = 0;
  TRY(value.each_item([&](JsonValue item) -> Status {
    const auto number = item.natural();
    if (!number) return bad(" with a value that is no integer from 0 to 2^64 - 1");
    if (is_shape) {
      dims_.push_back(*number);
    } else {
      offsets[count++] = *number;
    }
    return {};
  }));
  if (is_shape) return {};
  row.begin = offsets[0];
  row.end = offsets[1];
  return {};
}

// A name given twice has its last value only, in its last place.
void SafetensorsReader::drop_replaced() {
  const uint64_t seed = hash_seed();
  std::vector<uint32_t> slots(std::bit_ceil(2 * rows_.size() + 1));
  std::vector<bool> replaced(rows_.size());
  size_t count = 0;
  for (uint32_t i = 0; i < rows_.size(); ++i) {
    size_t slot = hash_text(rows_[i].name, seed) & (slots.size() - 1);
    while (slots[slot] != 0 && rows_[slots[slot] - 1].name != rows_[i].name)
      slot = (slot + 1) & (slots.size() - 1);
    if (slots[slot] != 0) {
      replaced[slots[slot] - 1] = true;
      ++count;
    }
    slots[slot] = i + 1;
  }
  if (count == 0) return;
  size_t kept = 0;
  for (size_t i = 0; i < rows_.size(); ++i) {
    if (!replaced[i]) rows_[kept++] = rows_[i];
  }
  rows_.resize(kept);
}

// The tensors in the order of their bytes cover the data from its start, and each has the bytes
// that its shape needs.
Status SafetensorsReader::check_places() {
  const auto by_place = [](const Row& a, const Row& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  };
  if (!std::is_sorted(rows_.begin(), rows_.end(), by_place))
    std::stable_sort(rows_.begin(), rows_.end(), by_place);
  const uint64_t data = kLengthBytes + header_bytes_;
  uint64_t at = 0;
  for (const Row& row : rows_) {
    const auto bad = [&](std::string what) {
      Status status(Code::kBadIndex, "tensor " + quoted(row.name) + " " + std::move(what));
      return std::move(status).at(data + std::min(at, UINT64_MAX - data));
    };
    const auto range = [&] {
      return "bytes " + std::to_string(row.begin) + " to " + std::to_string(row.end) +
             " of the data";
    };
    if (row.begin != at || row.end < row.begin) {
      return bad("has " + range() + ", where the tensor before it ends at byte " +
                 std::to_string(at) + ": there may be neither holes nor overlaps");
    }
    std::optional<uint64_t> bits = 1;
    for (uint32_t i = 0; bits && i < row.ndim; ++i)
      bits = checked_mul(*bits, dims_[row.first_dim + i]);
    if (bits) bits = checked_mul(*bits, row.type->bits);
    if (!bits) return bad("has a shape of more than 2^64 bits");
    if (*bits % 8 != 0)
      return bad("needs " + std::to_string(*bits) + " bits, which are no whole bytes");
    if (*bits / 8 != row.end - row.begin) {
      return bad("needs " + std::to_string(*bits / 8) + " bytes for its shape but has " + range());
    }
    at = row.end;
  }
  return {};
}

// Where the data ends the file ends.
Status SafetensorsReader::check_end() {
  const uint64_t start = kLengthBytes + header_bytes_;
  const uint64_t have = checkpoint_.source_->size() - start;
  const uint64_t need = rows_.empty() ? 0 : rows_.back().end;
  if (need < have) {
    return Status(Code::kBadIndex, "the file goes on for " + std::to_string(have - need) +
                                       " bytes behind its tensors, which belong to none")
        .at(start + need);
  }
  if (need == have) return {};
  const auto cut = std::find_if(rows_.begin(), rows_.end(),
                                [&](const Row& row) { return row.end > have; });
  return Status(Code::kTruncated,
                "the tensors need " + std::to_string(need) + " bytes but the file has " +
                    std::to_string(have) + " behind its header, the first that is not whole is " +
                    quoted(cut->name) + ", likely an incomplete download")
      .at(checkpoint_.source_->size());
}

// Why torch could not hold this tensor, if so; gives its sizes as torch counts them.
Status SafetensorsReader::torch_sizes(const Row& row, std::vector<int64_t>& sizes) const {
  const std::string place = ": " + std::to_string(row.end - row.begin) + " bytes at byte " +
                            std::to_string(kLengthBytes + header_bytes_ + row.begin);
  sizes.clear();
  for (uint32_t i = 0; i < row.ndim; ++i) {
    const uint64_t size = dims_[row.first_dim + i];
    if (size > INT64_MAX) {
      return Status(Code::kUnsupportedLayout,
                    "dimension " + std::to_string(i) + " has size " + std::to_string(size) +
                        ", more than a tensor of torch can have");
    }
    sizes.push_back(static_cast<int64_t>(size));
  }
  if (row.type->dtype == DType::kFloat4E2M1FnX2) {
    if (sizes.empty() || sizes.back() % 2 != 0) {
      return Status(Code::kUnsupportedDtype,
                    "torch keeps F4 in pairs along the last dimension, whose size is odd" + place);
    }
    sizes.back() /= 2;
  }
  if (!row.type->dtype) {
    return Status(Code::kUnsupportedDtype,
                  "torch has no dtype for " + std::string(row.type->name) + place);
  }
  return {};
}

Status SafetensorsReader::add_tensors(uint64_t have) {
  const uint64_t start = kLengthBytes + header_bytes_;
  Pool& pool = *checkpoint_.pool_;
  Catalog& catalog = checkpoint_.catalog_;
  // One text for all names, which the JSON does not outlive.
  std::string joined;
  size_t length = 0;
  for (const Row& row : rows_) length += row.name.size();
  joined.reserve(length);
  for (const Row& row : rows_) joined += row.name;
  std::string_view names = pool.keep(std::move(joined));

  pool.pickle_bytes = header_bytes_;
  pool.nodes.make_room(2 * rows_.size() + 1);
  catalog.storages.reserve(rows_.size());
  NoPersistentIds none;
  Interpreter interpreter(pool, catalog, none, options_.limits);
  std::vector<uint32_t> entries;
  entries.reserve(2 * rows_.size());
  std::vector<int64_t> sizes, strides;
  const uint32_t device = catalog.device("cpu");
  for (const Row& row : rows_) {
    const std::string_view name = names.substr(0, row.name.size());
    names.remove_prefix(row.name.size());
    Status unfit = torch_sizes(row, sizes);
    if (unfit.ok() && row.end > have) {
      unfit = Status(Code::kTruncated,
                     "the tensor needs " + std::to_string(row.end - row.begin) +
                         " bytes at byte " + std::to_string(start + row.begin) +
                         " and the file has " +
                         std::to_string(have - std::min(have, row.begin)) + " of them");
    }
    if (!unfit.ok()) {
      checkpoint_.skipped_.push_back(
          {std::string(name), unfit.code(), unfit.failure().message});
      continue;
    }
    Storage storage;
    storage.key = name;
    storage.device = device;
    storage.dtype = *row.type->dtype;
    storage.place = StoragePlace::kFile;
    storage.offset = start + row.begin;
    storage.bytes = row.end - row.begin;
    Tensor tensor;
    tensor.dtype = storage.dtype;
    tensor.storage = static_cast<uint32_t>(catalog.storages.size());
    catalog.storages.push_back(storage);
    strides.resize(sizes.size());
    contiguous_strides(sizes, strides);
    TRY_ASSIGN(const uint32_t index, interpreter.add_tensor(tensor, sizes, strides));
    entries.push_back(pool.add(Node::of_text(Tag::kStr, name)));
    entries.push_back(
        pool.add(Node::words(Tag::kForeign, index, 0, 0, static_cast<uint8_t>(Foreign::kTensor))));
  }
  Items items;
  pool.append(items, entries.data(), static_cast<uint32_t>(entries.size()));
  root_ = pool.add(Node::words(Tag::kDict, items.count, items.first, items.last));
  return {};
}

Status SafetensorsReader::read_tensors() {
  drop_replaced();
  TRY(check_places());
  const uint64_t have = checkpoint_.source_->size() - kLengthBytes - header_bytes_;
  if (Status status = check_end(); !status.ok()) {
    if (!options_.salvage || status.code() != Code::kTruncated) return status;
    checkpoint_.salvaged_ = true;
  }
  checkpoint_.format_ = Format::kSafetensors;
  checkpoint_.metadata_ = std::move(metadata_);
  TRY(add_tensors(have));
  json_.reset();
  rows_ = {};
  return checkpoint_.finish(options_, root_, std::make_unique<NoPersistentIds>());
}

}  // namespace torchmap
