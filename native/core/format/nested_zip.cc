#include "core/format/nested_zip.h"

#include "core/format/storage_record.h"
#include "core/torch/storage_ids.h"

namespace torchmap {
namespace {

class NestedIds final : public PersistentIds {
 public:
  NestedIds(NestedPlace place, ZipArchive archive, bool big_endian)
      : place_(std::move(place)),
        archive_(std::move(archive)),
        ids_([this](Storage& storage) { return find(storage); }, big_endian) {}

  const ZipArchive& archive() const { return archive_; }

  Result<Persistent> resolve(Interpreter& interpreter, NodeId node) override {
    return ids_.resolve(interpreter, node);
  }
  Result<uint32_t> resolve_storage(Interpreter& interpreter, NodeId owner,
                                   const StorageId& id) override {
    return ids_.resolve_storage(interpreter, owner, id);
  }

 private:
  Status find(Storage& storage);

  NestedPlace place_;
  ZipArchive archive_;
  StorageIds ids_;
};

// Says where in the file and in which record a failure of the nested archive happened.
Status inside(Status status, const NestedPlace& place) {
  Failure& failure = status.failure();
  if (failure.offset && place.memory == nullptr) *failure.offset += place.offset;
  if (failure.offset && place.memory != nullptr) failure.offset.reset();
  failure.record = std::string(place.record) + (failure.record.empty() ? "" : "/" + failure.record);
  return status;
}

Status NestedIds::find(Storage& storage) {
  auto index = find_record(archive_, "data/" + std::string(storage.key), storage);
  if (!index.ok()) return inside(std::move(index).status(), place_);
  if (*index == ZipArchive::kNone) return {};
  Status readable = check_method(archive_.records()[*index], false);
  if (!readable.ok()) return inside(std::move(readable), place_);
  auto offset = archive_.payload_offset(*place_.source, *index);
  if (!offset.ok()) return inside(std::move(offset).status(), place_);
  if (place_.memory != nullptr) {
    storage.place = StoragePlace::kMemory;
    storage.memory = place_.memory + *offset;
  } else {
    storage.place = StoragePlace::kFile;
    storage.offset = place_.offset + *offset;
  }
  return {};
}

Result<bool> is_big_endian(const ZipArchive& archive, Source& source) {
  const uint32_t index = archive.find("byteorder");
  if (index == ZipArchive::kNone) return false;
  TRY_ASSIGN(const ByteSpan order, archive.payload(source, index));
  if (as_text(order) == "little") return false;
  if (as_text(order) == "big") return true;
  return Status(Code::kBadRecord, "record 'byteorder' holds neither little nor big")
      .in("byteorder");
}

Result<NestedPickle> read(const NestedPlace& place, Pool& pool, const OpenOptions& options) {
  TRY_ASSIGN(ZipArchive archive, ZipArchive::read(*place.source, options.limits));
  TRY_ASSIGN(const bool big_endian, is_big_endian(archive, *place.source));
  const uint32_t index = archive.find("data.pkl");
  if (index == ZipArchive::kNone)
    return Status(Code::kBadRecord, "the archive inside the archive has no data.pkl");
  const Record row = archive.records()[index];
  if (row.method != 0) {
    return Status(Code::kUnsupportedCompression,
                  "data.pkl of an archive inside the archive is compressed")
        .in(row.name)
        .about("compression");
  }
  TRY_ASSIGN(const uint64_t offset, archive.payload_offset(*place.source, index));
  TRY_ASSIGN(const ByteSpan pickle, archive.payload(*place.source, index));
  auto decoded = decode_pickle(pickle, pool, {options.limits, offset, options.cancelled});
  if (!decoded.ok()) {
    Failure& failure = decoded.status().failure();
    if (failure.code == Code::kTruncated) failure.code = Code::kBadPickle;
    return std::move(decoded).status().in(row.name);
  }
  return NestedPickle{decoded->root,
                      std::make_shared<NestedIds>(place, std::move(archive), big_endian)};
}

}  // namespace

Result<NestedPickle> read_nested_zip(const NestedPlace& place, Pool& pool,
                                     const OpenOptions& options) {
  auto pickle = read(place, pool, options);
  if (!pickle.ok()) return inside(std::move(pickle).status(), place);
  return pickle;
}

}  // namespace torchmap
