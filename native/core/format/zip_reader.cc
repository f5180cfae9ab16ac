#include "core/format/zip_reader.h"

#include <charconv>

#include "core/format/package_reader.h"
#include "core/format/pt2_reader.h"
#include "core/torch/storage_ids.h"

namespace torchmap {
namespace {

// Versions of the archive that torch's reader accepts (caffe2/serialize/versions.h, v2.13).
constexpr uint64_t kFirstVersion = 1, kLastVersion = 10;
// Records inflated for one opening, which begins anew for each; archives of torch have none.
constexpr size_t kMostInflated = 64;

struct OtherArchive {
  std::string_view record, what;
};
// Archives that are not torch.save's, by a record that only they have.
constexpr OtherArchive kOthers[] = {
    {"model.json", "a TorchScript archive of torch 1.0 to 1.3"},
    {"config.json", "a Keras archive (.keras)"},
    {"word/document.xml", "a Word document"},
    {"xl/workbook.xml", "an Excel workbook"},
    {"META-INF/MANIFEST.MF", "a Java archive"},
};

// Finds the record of a storage; its payload's offset is looked up when the bytes are wanted.
Status place(const ZipArchive& archive, Storage& storage) {
  const std::string name = "data/" + std::string(storage.key);
  const uint32_t index = archive.find(name);
  if (index == ZipArchive::kNone) {
    // An empty storage needs no record; old writers leave it out.
    if (storage.bytes == 0) {
      storage.place = StoragePlace::kMemory;
      return {};
    }
    return Status(Code::kBadRecord, "record '" + name +
                                        "' is not in the archive but a tensor needs " +
                                        std::to_string(storage.bytes) + " bytes of it")
        .in(name);
  }
  const Record& row = archive.records()[index];
  if (row.size < storage.bytes) {
    return Status(Code::kTruncated, "record '" + std::string(row.name) + "' has " +
                                        std::to_string(row.size) + " bytes but its storage needs " +
                                        std::to_string(storage.bytes))
        .in(row.name);
  }
  storage.place = StoragePlace::kRecord;
  storage.record = index;
  if ((row.flags & 1) != 0 || (row.method != 0 && row.method != 8)) {
    return Status(
               Code::kUnsupportedCompression,
               "record '" + std::string(row.name) + "' is " +
                   ((row.flags & 1) != 0 ? "encrypted"
                                         : "compressed with method " + std::to_string(row.method)))
        .in(row.name)
        .about("compression");
  }
  return {};
}

}  // namespace

Result<std::optional<ByteSpan>> ZipReader::record(std::string_view name) {
  const ZipArchive& archive = *checkpoint_.archive_;
  const uint32_t index = archive.find(name);
  if (index == ZipArchive::kNone) return std::optional<ByteSpan>();
  const Record& row = archive.records()[index];
  if (row.method == 8) {
    for (const InflatedRecord& ready : inflated_) {
      if (ready.name != row.name) continue;
      if (ready.bytes.size() != row.size) {
        return Status(Code::kBadRecord, "record '" + std::string(row.name) + "' inflates to " +
                                            std::to_string(ready.bytes.size()) +
                                            " bytes but the archive says " +
                                            std::to_string(row.size))
            .in(row.name);
      }
      checkpoint_.kept_.emplace_back(as_text(ready.bytes));
      return std::optional<ByteSpan>(as_bytes(checkpoint_.kept_.back()));
    }
    if (row.size > options_.limits.inflated_bytes) {
      return limit_reached(Code::kLimitStorage, "inflatedBytes", options_.limits.inflated_bytes,
                           row.size)
          .in(row.name);
    }
    if (inflated_.size() >= kMostInflated) {
      return Status(Code::kUnsupportedCompression,
                    "record '" + std::string(row.name) + "' is deflated, after " +
                        std::to_string(kMostInflated) + " others that had to be inflated")
          .in(row.name)
          .about("compression");
    }
    TRY_ASSIGN(const uint64_t offset, archive.payload_offset(*checkpoint_.source_, index));
    Status deflated =
        Status(Code::kUnsupportedCompression, "record '" + std::string(row.name) + "' is deflated")
            .at(offset)
            .in(row.name)
            .about("deflate");
    deflated.failure().limit = row.stored_size;
    deflated.failure().actual = row.size;
    return deflated;
  }
  TRY_ASSIGN(ByteSpan bytes, archive.payload(*checkpoint_.source_, index));
  return std::optional<ByteSpan>(bytes);
}

// Only a number in range is accepted; torch requires the record, but files without it hold nothing
// else that differs.
Status ZipReader::read_version() {
  TRY_ASSIGN(auto version, record(".data/version"));
  if (!version) {
    TRY_ASSIGN(version, record("version"));
  }
  if (!version) return {};
  std::string_view text = as_text(*version);
  text.remove_prefix(std::min(text.size(), text.find_first_not_of(" \t\r\n")));
  uint64_t number = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), number).ptr == text.data()) {
    return Status(Code::kBadRecord, "record 'version' holds no number").in("version");
  }
  if (number < kFirstVersion || number > kLastVersion) {
    return Status(Code::kUnsupportedVersion, "the archive has version " + std::to_string(number) +
                                                 "; versions " + std::to_string(kFirstVersion) +
                                                 " to " + std::to_string(kLastVersion) +
                                                 " are known")
        .in("version")
        .about("version");
  }
  return {};
}

Status ZipReader::read_byte_order() {
  TRY_ASSIGN(auto order, record("byteorder"));
  if (!order) return {};
  const std::string_view text = as_text(*order);
  if (text != "little" && text != "big") {
    return Status(Code::kBadRecord, "record 'byteorder' holds '" + std::string(text.substr(0, 32)) +
                                        "' where torch writes little or big")
        .in("byteorder");
  }
  checkpoint_.big_endian_ = text == "big";
  return {};
}

Status ZipReader::missing_pickle() {
  const ZipArchive& archive = *checkpoint_.archive_;
  for (const OtherArchive& other : kOthers) {
    if (archive.find(other.record) == ZipArchive::kNone) continue;
    const bool torch = other.what.find("orch") != std::string_view::npos;
    return Status(torch ? Code::kUnsupportedFormat : Code::kNotACheckpoint,
                  "the file is " + std::string(other.what) + ", which has no data.pkl")
        .about(other.what);
  }
  if (archive.records().empty())
    return Status(Code::kNotACheckpoint, "the file is an empty zip archive");
  bool has_storages = false;
  for (const Record& row : archive.records())
    has_storages |= row.name.find("/data/") != std::string_view::npos;
  std::string message = "the archive has no data.pkl among its " +
                        std::to_string(archive.records().size()) + " records";
  message += has_storages
                 ? ": it looks like a save that was aborted"
                 : ", the first of which is '" + std::string(archive.records()[0].name) + "'";
  return Status(Code::kNotACheckpoint, std::move(message)).in("data.pkl");
}

// A frozen TorchScript module has its weights in constants.pkl, which is not read: say so.
Status ZipReader::note_constants() {
  TRY_ASSIGN(const auto pickle, record("constants.pkl"));
  Pool pool;
  auto decoded = decode_pickle(*pickle, pool, {options_.limits, 0, options_.cancelled});
  if (!decoded.ok()) return std::move(decoded).status().in("constants.pkl");
  const Node& root = pool[decoded->root];
  if (root.tag != Tag::kTuple || root.a == 0) return {};
  checkpoint_.skipped_.push_back(
      {"constants", Code::kUnsupportedFormat,
       "constants.pkl holds " + std::to_string(root.a) +
           " constants of a frozen TorchScript module, which are not read"});
  return {};
}

std::string ZipReader::era() {
  const ZipArchive& archive = *checkpoint_.archive_;
  const auto has = [&](std::string_view name) { return archive.find(name) != ZipArchive::kNone; };
  if (checkpoint_.format_ == Format::kTorchScript)
    return has("byteorder") ? "2.1 or newer" : "1.4 or newer";
  if (has(".format_version")) return "2.7 or newer";
  if (has(".data/serialization_id") || has("byteorder")) return "2.1 to 2.6";
  return "1.4 to 2.0";
}

Status ZipReader::read() {
  TRY_ASSIGN(checkpoint_.archive_, ZipArchive::read(*checkpoint_.source_, options_.limits));
  const uint32_t index = checkpoint_.archive_->find("data.pkl");
  if (index == ZipArchive::kNone) {
    if (Pt2Reader::recognises(*checkpoint_.archive_))
      return Pt2Reader(checkpoint_, options_, *this).read();
    if (PackageReader::recognises(*checkpoint_.archive_))
      return PackageReader(checkpoint_, options_, *this).read();
    return missing_pickle();
  }
  checkpoint_.format_ = checkpoint_.archive_->find("constants.pkl") == ZipArchive::kNone
                            ? Format::kZip
                            : Format::kTorchScript;
  TRY(read_version());
  TRY(read_byte_order());
  TRY_ASSIGN(const auto pickle, record("data.pkl"));
  checkpoint_.era_ = era();

  const Record& row = checkpoint_.archive_->records()[index];
  DecodeOptions decode{options_.limits, 0, options_.cancelled};
  if (row.method == 0) {
    TRY_ASSIGN(decode.base_offset,
               checkpoint_.archive_->payload_offset(*checkpoint_.source_, index));
  }
  auto decoded = decode_pickle(*pickle, *checkpoint_.pool_, decode);
  if (!decoded.ok()) {
    // The record is whole, so a pickle that ends too early was written that way.
    Failure& failure = decoded.status().failure();
    if (failure.code == Code::kTruncated) failure.code = Code::kBadPickle;
    return std::move(decoded).status().in(row.name);
  }
  if (checkpoint_.format_ == Format::kTorchScript) TRY(note_constants());
  auto ids = std::make_unique<StorageIds>(
      [&archive = *checkpoint_.archive_](Storage& storage) { return place(archive, storage); },
      checkpoint_.big_endian_);
  return checkpoint_.finish(options_, decoded->root, std::move(ids));
}

}  // namespace torchmap
