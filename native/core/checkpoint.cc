#include "core/checkpoint.h"

#include "core/archive/foreign.h"
#include "core/archive/tar.h"
#include "core/archive/zip_directory.h"
#include "core/format/legacy_reader.h"
#include "core/format/safetensors_reader.h"
#include "core/format/tar_reader.h"
#include "core/format/zip_reader.h"
#include "core/torch/state_dict.h"
#include "core/torch/storage_ids.h"

namespace torchmap {
namespace {

constexpr uint64_t kHeadBytes = 4096;

Status not_a_checkpoint(const std::string& what) {
  return Status(Code::kNotACheckpoint, "the file is " + what);
}

// Bytes in front of which a pickle's end proves nothing: safetensors can begin so.
constexpr uint64_t kShortPickle = 8;

}  // namespace

std::string_view format_name(Format format) {
  static constexpr std::string_view kNames[] = {"zip",         "legacy",  "tar", "pickle",
                                                "torchscript", "package", "pt2", "safetensors"};
  return kNames[static_cast<size_t>(format)];
}

Result<std::unique_ptr<Checkpoint>> Checkpoint::open(std::shared_ptr<Source> source,
                                                     const OpenOptions& options,
                                                     std::span<const InflatedRecord> inflated) {
  std::unique_ptr<Checkpoint> checkpoint(new Checkpoint(std::move(source)));
  checkpoint->cancelled_ = options.cancelled;
  TRY(checkpoint->read(options, inflated));
  checkpoint->cancelled_ = nullptr;
  return checkpoint;
}

std::unique_ptr<Checkpoint> Checkpoint::attach(std::shared_ptr<Source> source,
                                               std::vector<Storage> storages) {
  std::unique_ptr<Checkpoint> checkpoint(new Checkpoint(std::move(source)));
  checkpoint->catalog_.storages = std::move(storages);
  return checkpoint;
}

bool Checkpoint::has_distinct_names() {
  if (!has_distinct_names_) has_distinct_names_ = names_.are_distinct();
  return *has_distinct_names_;
}

Status Checkpoint::read(const OpenOptions& options, std::span<const InflatedRecord> inflated) {
  // Of archives and safetensors a few places are looked at; a stream is read on and on.
  source_->expect_scattered(true);
  Status status = read_scattered(options, inflated);
  source_->expect_scattered(false);
  return status;
}

// The order torch.load looks in: zip by its first bytes, then tar, then a stream of pickles; in
// front of that safetensors, which no torch.load reads.
Status Checkpoint::read_scattered(const OpenOptions& options,
                                  std::span<const InflatedRecord> inflated) {
  TRY_ASSIGN(const ByteSpan head, source_->view(0, std::min(kHeadBytes, source_->size())));
  const std::string_view text = as_text(head);
  if (text.size() >= 8 && text.substr(4, 4) == "PTMF") {
    return Status(Code::kUnsupportedFormat,
                  "the file is " + describe_foreign(head, source_->size()))
        .about("flatbuffer");
  }
  const bool safetensors = starts_like_safetensors(head);
  if (text.starts_with("PK\x03\x04") || text.starts_with("PK\x05\x06")) {
    // As a header's length the first is 67,324,752 bytes.
    if (!safetensors || find_zip_directory(*source_).ok())
      return ZipReader(*this, options, inflated).read();
  }
  if (looks_like_tar(head)) {
    source_->expect_scattered(false);
    return TarReader(*this, options).read();
  }
  if (!safetensors) return read_stream(options, head, {});
  SafetensorsReader reader(*this, options);
  Status header = reader.read_header();
  return header.ok() ? reader.read_tensors() : read_stream(options, head, std::move(header));
}

Status Checkpoint::read_stream(const OpenOptions& options, ByteSpan head, Status otherwise) {
  source_->expect_scattered(false);
  const bool pickle_mark =
      head.size() >= 2 && head[0] == std::byte{0x80} && head[1] <= std::byte{5};
  if (!pickle_mark && otherwise.ok()) {
    if (const std::string foreign = describe_foreign(head, source_->size()); !foreign.empty())
      return not_a_checkpoint(foreign);
  }
  PickleStream stream(*source_, 0, source_->size(), options.limits, options.cancelled);
  auto first = stream.next(pool_);
  if (!otherwise.ok() && (!first.ok() || first->consumed <= kShortPickle)) return otherwise;
  if (!first.ok()) {
    const Code code = first.status().code();
    if (pickle_mark || (code != Code::kBadPickle && code != Code::kTruncated))
      return std::move(first).status();
    return not_a_checkpoint("neither a zip archive nor a tar archive nor a pickle: " +
                            first.status().failure().message);
  }
  if (is_legacy_magic(*pool_, first->root)) return LegacyReader(*this, options).read(stream);
  format_ = Format::kPickle;
  era_ = "of any version";
  return finish(options, first->root, std::make_unique<NoPersistentIds>());
}

Status Checkpoint::check_globals(const OpenOptions& options, const Pool& pool) {
  if (!options.strict_globals) return {};
  for (const GlobalName& global : pool.globals) {
    if (classify_global(global.module, global.name).kind != GlobalKind::kUnknown) continue;
    const std::string name = std::string(global.module) + "." + std::string(global.name);
    return Status(Code::kUnsafeGlobal, "the pickle names '" + name +
                                           "', which is not among the globals this reader knows")
        .at(global.offset)
        .about(name);
  }
  return {};
}

Status Checkpoint::finish(const OpenOptions& options, NodeId root,
                          std::unique_ptr<PersistentIds> ids) {
  root_ = root;
  ids_ = std::move(ids);
  TRY(check_globals(options, *pool_));
  interpreter_ = std::make_unique<Interpreter>(*pool_, catalog_, *ids_, options.limits);
  if (salvaged_) interpreter_->skip_what_is_lost();
  interpreter_->set_nested_loader(
      [this, limits = options.limits](std::string_view bytes) -> Result<Storage> {
        TRY_ASSIGN(Storage storage, read_nested_storage(bytes, limits));
        storage.device = catalog_.device("cpu");
        // Bytes that lie in the mapped file as they are can be given without a copy.
        const auto mapped = source_->mapped();
        const auto begin = reinterpret_cast<uintptr_t>(mapped.data()),
                   at = reinterpret_cast<uintptr_t>(storage.memory);
        if (at >= begin && at - begin < mapped.size()) {
          storage.place = StoragePlace::kFile;
          storage.offset = at - begin;
        }
        return storage;
      });
  if (branches_.empty()) branches_.push_back({"", root_});
  for (const Branch& branch : branches_)
    TRY(walk(*interpreter_, branch.node, WalkMode::kEverything, names_, skipped_, branch.name));
  return {};
}

NodeId Checkpoint::weights_root() {
  return format_ == Format::kPackage ? only_weights(*interpreter_, root_) : root_;
}

std::string Checkpoint::root_class() const {
  const Node& root = (*pool_)[pool_->target(root_)];
  if (root.tag != Tag::kCall || static_cast<CallKind>(root.flags) == CallKind::kReduce) return {};
  const Node& type = (*pool_)[pool_->target(root.a)];
  if (type.tag != Tag::kGlobal) return {};
  const GlobalName name = python3_name(pool_->globals[type.a]);
  return std::string(name.module) + "." + std::string(name.name);
}

Result<uint64_t> Checkpoint::storage_offset(uint32_t index, Source* header) {
  Storage& storage = catalog_.storages[index];
  if (storage.place == StoragePlace::kRecord && storage.offset == 0) {
    Source& source = header == nullptr ? *source_ : *header;
    TRY_ASSIGN(storage.offset, archive_->payload_offset(source, storage.record));
  }
  return storage.offset;
}

}  // namespace torchmap
