// One opened checkpoint: finds out what the bytes are, picks the reader, holds what it read.
#pragma once

#include <atomic>
#include <deque>

#include "core/archive/zip.h"
#include "core/format/script_code.h"
#include "core/pickle/decoder.h"
#include "core/torch/walk.h"

namespace torchmap {

enum class Format : uint8_t {
  kZip,
  kLegacy,
  kTar,
  kPickle,
  kTorchScript,
  kPackage,
  kPt2,
  kSafetensors
};
std::string_view format_name(Format format);

struct OpenOptions {
  Limits limits;
  bool strict_globals = false;  // refuse globals this reader does not know
  const std::atomic<bool>* cancelled = nullptr;
  bool salvage = false;  // where the container is damaged, give what is whole in it
};

class Checkpoint {
 public:
  // Reads what can be known without touching a tensor's bytes. When a record that is needed for
  // this is deflated and not in `inflated`, the failure is kUnsupportedCompression about "deflate",
  // with the record's name, its payload's offset, its stored size (`limit`) and its size
  // (`actual`): inflate it and call again.
  static Result<std::unique_ptr<Checkpoint>> open(std::shared_ptr<Source> source,
                                                  const OpenOptions& options,
                                                  std::span<const InflatedRecord> inflated = {});

  // One of which only the storages are known: see attached.h. It has no root, names or code.
  static std::unique_ptr<Checkpoint> attach(std::shared_ptr<Source> source,
                                            std::vector<Storage> storages);

  Source& source() { return *source_; }
  std::shared_ptr<Source> source_handle() { return source_; }
  Format format() const { return format_; }
  bool big_endian() const { return big_endian_; }
  const std::string& era() const { return era_; }  // the versions of torch that write such a file
  bool salvaged() const { return salvaged_; }      // the container is damaged
  // Of safetensors: keys and values, in turns.
  const std::optional<Names>& metadata() const { return metadata_; }
  const std::optional<ZipArchive>& archive() const { return archive_; }

  Catalog& catalog() { return catalog_; }
  const Catalog& catalog() const { return catalog_; }
  Pool& pool() { return *pool_; }
  Interpreter& interpreter() { return *interpreter_; }
  NodeId root() const { return root_; }
  // `module.name` of the class of a root that is an object, in Python 3's spelling; else empty.
  std::string root_class() const;
  // Where the search for the weights begins: of a package, the one resource that can hold them.
  NodeId weights_root();
  const Names& names() const { return names_; }
  // Whether it is known that no two names are the same; found out when it is first asked.
  bool has_distinct_names();
  const std::vector<Skipped>& skipped() const { return skipped_; }

  // The code of a TorchScript archive, which state_dict() and kIsParameter hang on: read when they
  // are first asked for. None for other formats.
  ScriptCode* code() { return code_ ? &*code_ : nullptr; }

  // Where a storage's bytes start in the file; looks the archive's local header up at first use.
  // Only for storages placed in a record or in the file. `header`: where that header is, if not in
  // the source.
  Result<uint64_t> storage_offset(uint32_t storage, Source* header = nullptr);

 private:
  friend class ZipReader;
  friend class LegacyReader;
  friend class ModelJsonReader;
  friend class TarReader;
  friend class PackageReader;
  friend class Pt2Reader;
  friend class SafetensorsReader;

  explicit Checkpoint(std::shared_ptr<Source> source) : source_(std::move(source)) {}
  Status read(const OpenOptions& options, std::span<const InflatedRecord> inflated);
  Status read_scattered(const OpenOptions& options, std::span<const InflatedRecord> inflated);
  // `otherwise` is the failure for what is no pickle either.
  Status read_stream(const OpenOptions& options, ByteSpan head, Status otherwise);
  // kUnsafeGlobal where the caller wants unknown globals refused.
  static Status check_globals(const OpenOptions& options, const Pool& pool);
  // Takes what a reader decoded; names everything: the branches, or else what is below the root.
  Status finish(const OpenOptions& options, NodeId root, std::unique_ptr<PersistentIds> ids);

  std::shared_ptr<Source> source_;
  Format format_ = Format::kZip;
  bool big_endian_ = false;
  bool salvaged_ = false;
  const std::atomic<bool>* cancelled_ = nullptr;  // only while it is opened
  std::string era_;
  std::optional<Names> metadata_;
  std::optional<ZipArchive> archive_;
  std::unique_ptr<Pool> pool_ = std::make_unique<Pool>();
  Catalog catalog_;
  std::unique_ptr<PersistentIds> ids_;
  std::unique_ptr<Interpreter> interpreter_;
  std::optional<ScriptCode> code_;
  ScriptClasses classes_;  // of model.json, which has no code
  NodeId root_ = 0;
  std::vector<Branch> branches_;
  Names names_;
  std::optional<bool> has_distinct_names_;
  std::vector<Skipped> skipped_;
  std::deque<std::string> kept_;  // inflated records; never moves

  // constants.pkl of TorchScript: values of its own, whose tensors are rows of the same catalog.
  struct Constants {
    Pool pool;
    std::unique_ptr<PersistentIds> ids;
    std::unique_ptr<Interpreter> interpreter;
  };
  std::unique_ptr<Constants> constants_;
};

}  // namespace torchmap
