#include "core/format/zip_reader.h"

#include <algorithm>
#include <charconv>

#include "core/archive/crc32.h"
#include "core/format/early_pickle.h"
#include "core/format/model_json_reader.h"
#include "core/format/package_reader.h"
#include "core/format/pt2_reader.h"
#include "core/format/storage_record.h"
#include "core/kernels/fresh_pages.h"
#include "core/torch/storage_ids.h"

namespace torchmap {
namespace {

// Versions of the archive that torch's reader accepts (caffe2/serialize/versions.h, v2.13).
constexpr uint64_t kFirstVersion = 1, kLastVersion = 10;
// Records inflated for one opening, which begins anew for each; archives of torch have none.
constexpr size_t kMostRecordsInflated = 64;
constexpr std::string_view kData = "data/";
// Rows whose memory is worth asking the system for before they are there.
constexpr size_t kManyRows = 1024;
// Bytes that most names of tensors have.
constexpr size_t kShortName = 16;

struct OtherArchive {
  std::string_view record, what;
};
// Archives that are not torch.save's, by a record that only they have.
constexpr OtherArchive kOthers[] = {
    {"config.json", "a Keras archive (.keras)"},
    {"word/document.xml", "a Word document"},
    {"xl/workbook.xml", "an Excel workbook"},
    {"META-INF/MANIFEST.MF", "a Java archive"},
};

// The memory of rows that are still to be written.
template <typename T>
std::span<std::byte> memory_of(T* rows, size_t count) {
  return std::as_writable_bytes(std::span(rows, count));
}

// Records that torch.save writes beside the pickle and the storages.
constexpr std::string_view kLabels[] = {"version",         ".data/version",
                                        "byteorder",       ".data/serialization_id",
                                        ".format_version", ".storage_alignment"};

}  // namespace

// Of a salvaged archive: that the record's end was found, and its bytes are what they were. The
// checksum of a deflated record is one of what it inflates to.
Status ZipReader::check_whole(Checkpoint& checkpoint, uint32_t index) {
  if (!checkpoint.salvaged_) return {};
  const Record& row = checkpoint.archive_->records()[index];
  if (row.cut) {
    return Status(Code::kTruncated, "record '" + std::string(row.name) +
                                        "' is cut: " + std::to_string(row.stored_size) +
                                        " bytes of it are there, and no checksum")
        .in(row.name);
  }
  if (row.method != 0) return {};
  return checkpoint.archive_->check_crc(*checkpoint.source_, index, checkpoint.cancelled_);
}

// Finds the record of a storage; its payload's offset is looked up when the bytes are wanted.
Status ZipReader::place(Checkpoint& checkpoint, std::string_view folder, Storage& storage) {
  const ZipArchive& archive = *checkpoint.archive_;
  const auto path = [&] { return std::string(folder) + std::string(storage.key); };
  const uint32_t index = folder == kData ? archive.find_data(storage.key) : archive.find(path());
  const auto needs = [&] { return std::to_string(storage.bytes) + " bytes of it"; };
  if (index == ZipArchive::kNone) {
    // An empty storage needs no record; old writers leave it out.
    if (storage.bytes == 0) {
      storage.place = StoragePlace::kMemory;
      return {};
    }
    if (checkpoint.salvaged_) {
      return Status(Code::kTruncated, "record '" + path() +
                                          "' is not in what is left of the archive but a tensor "
                                          "needs " +
                                          needs())
          .in(path());
    }
    return Status(Code::kBadRecord,
                  "record '" + path() + "' is not in the archive but a tensor needs " + needs())
        .in(path());
  }
  const Record& row = archive.records()[index];
  TRY(check_size(row, storage));
  TRY(check_whole(checkpoint, index));
  storage.place = StoragePlace::kRecord;
  storage.record = index;
  return check_method(row);
}

Result<std::optional<ByteSpan>> ZipReader::record(std::string_view name) {
  const ZipArchive& archive = *checkpoint_.archive_;
  const uint32_t index = archive.find(name);
  if (index == ZipArchive::kNone) return std::optional<ByteSpan>();
  const Record& row = archive.records()[index];
  TRY(check_whole(checkpoint_, index));
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
      if (checkpoint_.salvaged_ && row.crc != 0) {
        const uint32_t crc = crc32(0, ready.bytes);
        if (crc != row.crc) return crc_mismatch(row, crc);
      }
      checkpoint_.kept_.emplace_back(as_text(ready.bytes));
      return std::optional<ByteSpan>(as_bytes(checkpoint_.kept_.back()));
    }
    if (row.size > options_.limits.inflated_bytes) {
      return limit_reached(Code::kLimitStorage, "inflatedBytes", options_.limits.inflated_bytes,
                           row.size)
          .in(row.name);
    }
    if (inflated_.size() >= kMostRecordsInflated) {
      return Status(Code::kUnsupportedCompression,
                    "record '" + std::string(row.name) + "' is deflated, after " +
                        std::to_string(kMostRecordsInflated) + " others that had to be inflated")
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

Result<std::optional<ByteSpan>> ZipReader::small_record(std::string_view name) {
  auto found = record(name);
  if (found.ok() || !checkpoint_.salvaged_) return found;
  const Code code = found.status().code();
  if (code != Code::kTruncated && code != Code::kChecksumMismatch) return found;
  return std::optional<ByteSpan>();
}

// Only a number in range is accepted; torch requires the record, but files without it hold nothing
// else that differs.
Status ZipReader::read_version() {
  TRY_ASSIGN(auto version, small_record(".data/version"));
  if (!version) {
    TRY_ASSIGN(version, small_record("version"));
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
  TRY_ASSIGN(auto order, small_record("byteorder"));
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
    return Status(Code::kNotACheckpoint,
                  "the file is " + std::string(other.what) + ", which has no data.pkl")
        .about(other.what);
  }
  if (archive.records().empty())
    return Status(Code::kNotACheckpoint, "the file is an empty zip archive");
  bool has_storages = false, only_labels = true;
  for (const Record& row : archive.records()) {
    has_storages |= row.name.find("/data/") != std::string_view::npos;
    const auto name = archive.name_in_root(row);
    only_labels &=
        name && std::find(std::begin(kLabels), std::end(kLabels), *name) != std::end(kLabels);
  }
  std::string message = "the archive has no data.pkl among its " +
                        std::to_string(archive.records().size()) + " records";
  if (only_labels) {
    message += " and no storages: it is what an aborted torch.save leaves behind";
  } else if (has_storages) {
    message += checkpoint_.salvaged_ ? ": without it nobody knows what the storages in it are"
                                     : ": it looks like a save that was aborted";
  } else {
    message += ", the first of which is '" + std::string(archive.records()[0].name) + "'";
  }
  const Code code = checkpoint_.salvaged_ ? Code::kTruncated : Code::kNotACheckpoint;
  return Status(code, std::move(message)).in("data.pkl");
}

// TorchScript keeps apart the tensors that its code names as constants, CONSTANTS.c0 and so on: all
// weights of a frozen module, and what tracing found in no parameter. A tuple of values, with
// storages of their own. Source: torch/csrc/jit/serialization/export_module.cpp,
// ScriptModuleSerializer::serialize (v2.13).
Result<std::optional<Decoded>> ZipReader::decode_constants() {
  TRY_ASSIGN(const auto pickle, small_record("constants.pkl"));
  if (!pickle) return std::optional<Decoded>();
  checkpoint_.constants_ = std::make_unique<Checkpoint::Constants>();
  auto decoded = decode_pickle(*pickle, checkpoint_.constants_->pool,
                               {options_.limits, 0, options_.cancelled});
  if (decoded.ok()) return std::optional<Decoded>(*decoded);
  Failure& failure = decoded.status().failure();
  if (failure.code == Code::kTruncated) failure.code = Code::kBadPickle;
  return std::move(decoded).status().in("constants.pkl");
}

// Names them constants.0, constants.1 ... behind the other tensors.
Status ZipReader::name_constants(NodeId root) {
  Checkpoint::Constants& constants = *checkpoint_.constants_;
  constants.ids = std::make_unique<StorageIds>(
      [&checkpoint = checkpoint_](Storage& storage) {
        return place(checkpoint, "constants/", storage);
      },
      checkpoint_.big_endian_);
  constants.interpreter = std::make_unique<Interpreter>(constants.pool, checkpoint_.catalog_,
                                                        *constants.ids, options_.limits);
  if (checkpoint_.salvaged_) constants.interpreter->skip_what_is_lost();
  return walk(*constants.interpreter, root, WalkMode::kEverything, checkpoint_.names_,
              checkpoint_.skipped_, "constants");
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

// The directory, or, where that is missing or wrong and the caller wants it, the local headers.
Status ZipReader::read_archive() {
  auto archive = ZipArchive::read(*checkpoint_.source_, options_.limits);
  if (archive.ok()) {
    checkpoint_.archive_ = std::move(archive).value();
    return {};
  }
  const Code code = archive.status().code();
  if (!options_.salvage || (code != Code::kTruncated && code != Code::kBadArchive))
    return std::move(archive).status();
  auto salvaged = ZipArchive::salvage(*checkpoint_.source_, options_.limits, options_.cancelled);
  if (!salvaged.ok()) return std::move(salvaged).status();
  // Nothing was found: the first failure says more.
  if (salvaged->records().empty()) return std::move(archive).status();
  checkpoint_.archive_ = std::move(salvaged).value();
  checkpoint_.salvaged_ = true;
  return {};
}

// As many rows and names as there are records, mostly; a weight has two dimensions.
void ZipReader::expect_rows() {
  if (checkpoint_.archive_->find("data.pkl") == ZipArchive::kNone) return;
  Catalog& catalog = checkpoint_.catalog_;
  const size_t rows = checkpoint_.archive_->records().size();
  catalog.storages.reserve(rows);
  catalog.tensors.make_room(rows);
  catalog.dims.make_room(4 * rows);
  Names& names = checkpoint_.names_;
  names.expect(rows);
  if (rows < kManyRows) return;
  populate(memory_of(catalog.storages.data(), rows));
  populate(memory_of(catalog.tensors.data(), rows));
  populate(memory_of(names.text.data(), kShortName * rows));
  populate(memory_of(names.ends.data(), rows));
  populate(memory_of(names.tensors.data(), rows));
}

Status ZipReader::read() {
  EarlyPickle early(*checkpoint_.source_, *checkpoint_.pool_,
                    {options_.limits, 0, options_.cancelled});
  const auto read_directory = [this] {
    TRY(read_archive());
    expect_rows();
    return Status();
  };
  TRY(early.beside(read_directory));
  const uint32_t index = checkpoint_.archive_->find("data.pkl");
  if (index == ZipArchive::kNone) {
    if (checkpoint_.salvaged_) return missing_pickle();
    if (checkpoint_.archive_->find("model.json") != ZipArchive::kNone) {
      TRY(read_version());
      TRY_ASSIGN(const auto model, record("model.json"));
      TRY_ASSIGN(const auto attributes, record("attributes.pkl"));
      return ModelJsonReader(checkpoint_, options_).read(*model, attributes);
    }
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
  TRY_ASSIGN(const auto constants, decode_constants());
  checkpoint_.era_ = era();

  const Record& row = checkpoint_.archive_->records()[index];
  DecodeOptions decode{options_.limits, 0, options_.cancelled};
  if (row.method == 0) {
    TRY_ASSIGN(decode.base_offset,
               checkpoint_.archive_->payload_offset(*checkpoint_.source_, index));
  }
  auto decoded = early.take(*pickle);
  if (!decoded) decoded.emplace(decode_pickle(*pickle, *checkpoint_.pool_, decode));
  if (!decoded->ok()) {
    // The record is whole, so a pickle that ends too early was written that way.
    Failure& failure = decoded->status().failure();
    if (failure.code == Code::kTruncated) failure.code = Code::kBadPickle;
    return std::move(*decoded).status().in(row.name);
  }
  if (checkpoint_.salvaged_) {
    // constants.pkl stands near the end, and may be lost.
    for (const GlobalName& global : checkpoint_.pool_->globals) {
      if (global.module == "__torch__" || global.module.starts_with("__torch__."))
        checkpoint_.format_ = Format::kTorchScript;
    }
    checkpoint_.era_ = era();
  }
  auto ids = std::make_unique<StorageIds>(
      [&checkpoint = checkpoint_](Storage& storage) { return place(checkpoint, kData, storage); },
      checkpoint_.big_endian_);
  TRY(checkpoint_.finish(options_, (*decoded)->root, std::move(ids)));
  if (!constants) {
    if (checkpoint_.format_ == Format::kTorchScript) {
      checkpoint_.skipped_.push_back(
          {"constants", Code::kTruncated,
           "constants.pkl, where a frozen TorchScript module has its weights, is lost"});
    }
    return {};
  }
  TRY(Checkpoint::check_globals(options_, checkpoint_.constants_->pool));
  TRY(name_constants(constants->root));
  checkpoint_.code_.emplace(*checkpoint_.source_, *checkpoint_.archive_, *checkpoint_.interpreter_);
  return {};
}

}  // namespace torchmap
