#include "core/format/package_reader.h"

#include "core/format/storage_record.h"
#include "core/text.h"

namespace torchmap {
namespace {

// A resource that is no pickle is a value of the root up to this size in bytes.
constexpr uint64_t kMostText = uint64_t{1} << 20;

constexpr std::string_view kScripts = ".data/ts_code/";

// Every pickle of protocol 2 or newer begins with PROTO; torch.package writes protocol 3.
bool begins_like_pickle(ByteSpan bytes) {
  return bytes.size() >= 2 && bytes[0] == std::byte{0x80} && bytes[1] >= std::byte{2} &&
         bytes[1] <= std::byte{5};
}

// Finds `.data/<key>.storage`.
Status place(const ZipArchive& archive, Storage& storage) {
  const std::string name = ".data/" + std::string(storage.key) + ".storage";
  TRY_ASSIGN(const uint32_t index, find_record(archive, name, storage));
  if (index == ZipArchive::kNone) return {};
  TRY(check_method(archive.records()[index]));
  storage.place = StoragePlace::kRecord;
  storage.record = index;
  return {};
}

// Whether the failure is about this record alone, so that the others can be read nevertheless.
bool is_local(const Failure& failure) {
  switch (failure.code) {
    case Code::kBadPickle:
    case Code::kTruncated:
    case Code::kUnsupportedOpcode:
      return true;
    case Code::kUnsupportedCompression:
      return failure.subject != "deflate";
    default:
      return false;
  }
}

}  // namespace

bool PackageReader::recognises(const ZipArchive& archive) {
  return archive.find(".data/extern_modules") != ZipArchive::kNone;
}

void PackageReader::skip(std::string_view name, const Failure& failure) {
  checkpoint_.skipped_.push_back({std::string(name), failure.code, failure.message});
}

Result<std::optional<ByteSpan>> PackageReader::bytes_of(uint32_t record, std::string_view name) {
  const ZipArchive& archive = *checkpoint_.archive_;
  const Record& row = archive.records()[record];
  const auto large = [&] {
    return Status(Code::kUnsupportedFormat,
                  "the resource holds " + std::to_string(row.size) + " bytes that are no pickle");
  };
  if (row.method == 0 && (row.flags & 1) == 0 && row.size > kMostText) {
    TRY_ASSIGN(const uint64_t offset, archive.payload_offset(*checkpoint_.source_, record));
    TRY_ASSIGN(const ByteSpan head, checkpoint_.source_->view(offset, 2));
    if (!begins_like_pickle(head)) {
      skip(name, large().failure());
      return std::optional<ByteSpan>();
    }
  }
  auto bytes = zip_.record(name);
  if (!bytes.ok()) {
    if (!is_local(bytes.status().failure())) return bytes;
    skip(name, bytes.status().failure());
    return std::optional<ByteSpan>();
  }
  if ((*bytes)->size() > kMostText && !begins_like_pickle(**bytes)) {
    skip(name, large().failure());
    return std::optional<ByteSpan>();
  }
  return bytes;
}

Result<std::optional<Decoded>> PackageReader::decode(uint32_t record, std::string_view name,
                                                     ByteSpan bytes) {
  const ZipArchive& archive = *checkpoint_.archive_;
  DecodeOptions decode{options_.limits, 0, options_.cancelled};
  if (archive.records()[record].method == 0) {
    TRY_ASSIGN(decode.base_offset, archive.payload_offset(*checkpoint_.source_, record));
  }
  auto decoded = decode_pickle(bytes, *checkpoint_.pool_, decode);
  if (decoded.ok()) return std::optional<Decoded>(*decoded);
  Failure& failure = decoded.status().failure();
  if (!is_local(failure)) return std::move(decoded).status().in(archive.records()[record].name);
  if (failure.code == Code::kTruncated) failure.code = Code::kBadPickle;
  skip(name, failure);
  return std::optional<Decoded>();
}

Status PackageReader::read_resource(uint32_t record, std::string_view name) {
  TRY_ASSIGN(const auto bytes, bytes_of(record, name));
  if (!bytes) return {};
  Pool& pool = *checkpoint_.pool_;
  if (begins_like_pickle(*bytes)) {
    TRY_ASSIGN(const auto decoded, decode(record, name, *bytes));
    if (!decoded) return {};
    if (decoded->consumed == bytes->size()) {
      resources_.add(name, decoded->root);
      return {};
    }
  }
  const std::string_view text = as_text(*bytes);
  const bool is_text = is_utf8(text) && text.find('\0') == std::string_view::npos;
  pool.pickle_bytes += text.size();
  resources_.add(name, pool.add(Node::of_text(is_text ? Tag::kStr : Tag::kBytes, text)));
  return {};
}

// `.data/ts_code/<id>/data.pkl` and constants.pkl; beside them lies the code.
Status PackageReader::read_script(uint32_t record, std::string_view name) {
  std::string_view id = name.substr(kScripts.size());
  const size_t slash = id.find('/');
  if (slash == std::string_view::npos) return {};
  const std::string_view file = id.substr(slash + 1);
  id = id.substr(0, slash);
  if (id == "code" || (file != "data.pkl" && file != "constants.pkl")) return {};
  TRY_ASSIGN(const auto bytes, bytes_of(record, name));
  if (!bytes) return {};
  TRY_ASSIGN(const auto decoded, decode(record, name, *bytes));
  if (!decoded) return {};
  if (file == "data.pkl") {
    scripts_.push_back({name, id, decoded->root});
    return {};
  }
  const Node& constants = (*checkpoint_.pool_)[decoded->root];
  if (constants.tag != Tag::kTuple || constants.a > 0) resources_.add(name, decoded->root);
  return {};
}

Status PackageReader::read() {
  checkpoint_.format_ = Format::kPackage;
  TRY(zip_.read_version());
  TRY(zip_.read_byte_order());
  const ZipArchive& archive = *checkpoint_.archive_;
  checkpoint_.era_ = archive.find("byteorder") != ZipArchive::kNone ? "2.1 or newer" : "1.9 to 2.0";
  for (uint32_t i = 0; i < archive.records().size(); ++i) {
    const auto name = archive.name_in_root(archive.records()[i]);
    if (!name || name->empty() || name->ends_with("/")) continue;
    if (name->starts_with(kScripts)) {
      TRY(read_script(i, *name));
    } else if (!name->starts_with(".data/") && !name->ends_with(".py") && *name != "byteorder" &&
               *name != "version") {
      TRY(read_resource(i, *name));
    }
  }
  auto ids = std::make_unique<PackageIds>(
      [&archive](Storage& storage) { return place(archive, storage); }, checkpoint_.big_endian_);
  const auto named = PackageIds::scripts_in(*checkpoint_.pool_);
  for (const Script& script : scripts_) {
    ids->add_script(script.id, script.root);
    if (!named.contains(script.id)) resources_.add(script.name, script.root);
  }
  return checkpoint_.finish(options_, resources_.finish(), std::move(ids));
}

}  // namespace torchmap
