#include "core/checkpoint.h"

#include "core/archive/foreign.h"
#include "core/archive/tar.h"
#include "core/format/legacy_reader.h"
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

// Persistent ids have no meaning in a plain pickle.
class NoIds final : public PersistentIds {
 public:
  Result<Persistent> resolve(Interpreter&, NodeId) override { return Persistent{}; }
};

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
  TRY(checkpoint->read(options, inflated));
  return checkpoint;
}

// The order torch.load looks in: zip by its first bytes, then tar, then a stream of pickles.
Status Checkpoint::read(const OpenOptions& options, std::span<const InflatedRecord> inflated) {
  TRY_ASSIGN(const ByteSpan head, source_->view(0, std::min(kHeadBytes, source_->size())));
  const std::string_view text = as_text(head);
  if (text.starts_with("PK\x03\x04") || text.starts_with("PK\x05\x06"))
    return ZipReader(*this, options, inflated).read();
  if (looks_like_tar(head)) return TarReader(*this, options).read();
  return read_stream(options, head);
}

Status Checkpoint::read_stream(const OpenOptions& options, ByteSpan head) {
  const bool pickle_mark =
      head.size() >= 2 && head[0] == std::byte{0x80} && head[1] <= std::byte{5};
  if (!pickle_mark) {
    if (const std::string foreign = describe_foreign(head, source_->size()); !foreign.empty())
      return not_a_checkpoint(foreign);
  }
  PickleStream stream(*source_, 0, source_->size(), options.limits, options.cancelled);
  auto first = stream.next(pool_);
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
  return finish(options, first->root, std::make_unique<NoIds>());
}

Status Checkpoint::finish(const OpenOptions& options, NodeId root,
                          std::unique_ptr<PersistentIds> ids) {
  root_ = root;
  ids_ = std::move(ids);
  if (options.strict_globals) {
    for (const GlobalName& global : pool_->globals) {
      if (classify_global(global.module, global.name).kind != GlobalKind::kUnknown) continue;
      const std::string name = std::string(global.module) + "." + std::string(global.name);
      return Status(Code::kUnsafeGlobal, "the pickle names '" + name +
                                             "', which is not among the globals this reader knows")
          .at(global.offset)
          .about(name);
    }
  }
  interpreter_ = std::make_unique<Interpreter>(*pool_, catalog_, *ids_, options.limits);
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

Result<uint64_t> Checkpoint::storage_offset(uint32_t index) {
  Storage& storage = catalog_.storages[index];
  if (storage.place == StoragePlace::kRecord && storage.offset == 0) {
    TRY_ASSIGN(storage.offset, archive_->payload_offset(*source_, storage.record));
  }
  return storage.offset;
}

}  // namespace torchmap
