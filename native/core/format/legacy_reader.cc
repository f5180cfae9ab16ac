#include "core/format/legacy_reader.h"

#include "core/torch/storage_ids.h"

namespace torchmap {
namespace {

constexpr std::string_view kMagicDecimal = "119547037146038801333356";
constexpr std::string_view kMagicBinary = "\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19";
constexpr int64_t kProtocolVersion = 1001;

// Reads the protocol version and the system info that follow the magic number.
Status read_preamble(PickleStream& stream) {
  std::unique_ptr<Pool> pool;
  TRY_ASSIGN(const Decoded version, stream.next(pool));
  const Node& number = (*pool)[version.root];
  if (number.tag != Tag::kInt || number.integer != kProtocolVersion) {
    return Status(
               Code::kUnsupportedVersion,
               "the legacy stream has " +
                   (number.tag == Tag::kInt ? "protocol version " + std::to_string(number.integer)
                                            : std::string("no protocol version")) +
                   " where 1001 is known")
        .about("version");
  }
  // Not used: storages are little-endian whatever the flag in it says.
  TRY_ASSIGN([[maybe_unused]] const Decoded system_info, stream.next(pool));
  return {};
}

// Registers every storage the object refers to, also those no tensor can reach, because each has
// its bytes in the file.
Status register_storages(Interpreter& interpreter) {
  Pool& pool = interpreter.pool();
  for (size_t id = 0; id < pool.nodes.size(); ++id) {
    if (pool.nodes[id].tag == Tag::kTensorCall) {
      auto known = interpreter.storage_of_call(static_cast<NodeId>(id));
      // Unpacked, its id is a node further on.
      if ((!known.ok() || *known == kNoIndex) && !pool.unpack(static_cast<NodeId>(id)))
        return Status(Code::kBadPickle, "the pickle has more values than can be numbered");
    }
    if (pool.nodes[id].tag != Tag::kPersistent) continue;
    Status status = interpreter.resolve(static_cast<NodeId>(id));
    if (!status.ok() && status.code() != Code::kUnsupportedDtype) return status;
  }
  return {};
}

// A storage of which the cut file has `have` bytes.
void lose(const StorageIds& ids, Catalog& catalog, uint32_t row, uint64_t have) {
  for (; row != kNoIndex; row = ids.next(row)) {
    Storage& storage = catalog.storages[row];
    storage.place = StoragePlace::kNowhere;
    catalog.lost[row] = "storage '" + std::string(storage.key) + "' needs " +
                        std::to_string(storage.bytes) + " bytes and the file has " +
                        std::to_string(have) + " of them";
  }
}

// Gives every storage its place behind the key list. With `cut` a file that ends too early has the
// storages that are not whole listed in the catalog, and sets it.
Status place_storages(PickleStream& stream, const StorageIds& ids, Catalog& catalog,
                      const Pool& pool, NodeId keys, bool* cut = nullptr) {
  const Node& list = pool[keys];
  if (list.tag != Tag::kList)
    return Status(Code::kBadPickle, "the storage keys of the legacy stream are no list")
        .at(stream.position());
  std::vector<bool> placed(catalog.storages.size());
  for (uint32_t word : pool.list(Pool::items_of(list))) {
    const Node& key = pool[word];
    if (key.tag != Tag::kStr)
      return Status(Code::kBadPickle, "a storage key of the legacy stream is no text")
          .at(stream.position());
    const std::string name(key.text());
    const uint32_t first_row = ids.find(key.text());
    if (first_row == kNoIndex)
      return Status(Code::kBadRecord,
                    "storage '" + name + "' has bytes in the file but nothing refers to it")
          .at(stream.position());
    const uint64_t header = stream.position();
    if (cut != nullptr && stream.remaining() < sizeof(int64_t)) {
      *cut = true;
      TRY(stream.skip(stream.remaining()));
      lose(ids, catalog, first_row, 0);
      continue;
    }
    TRY_ASSIGN(const int64_t numel, stream.read_int64());
    const Storage& first = catalog.storages[first_row];
    const auto bytes = numel < 0
                           ? std::nullopt
                           : checked_mul(static_cast<uint64_t>(numel), info(first.dtype).bytes);
    if (!bytes || *bytes != first.bytes) {
      return Status(Code::kBadRecord, "storage '" + name + "' has " + std::to_string(numel) +
                                          " elements of " +
                                          std::to_string(info(first.dtype).bytes) +
                                          " bytes in the file but tensors need " +
                                          std::to_string(first.bytes) + " bytes of it")
          .at(header);
    }
    for (uint32_t row = first_row; row != kNoIndex; row = ids.next(row)) {
      catalog.storages[row].offset = stream.position();
      if (catalog.storages[row].bytes > first.bytes) {
        return Status(Code::kBadRecord, "storage '" + name + "' is used with different sizes")
            .at(header);
      }
      placed[row] = true;
    }
    Status status = stream.skip(*bytes);
    if (!status.ok() && cut != nullptr) {
      *cut = true;
      lose(ids, catalog, first_row, stream.remaining());
      TRY(stream.skip(stream.remaining()));
    } else if (!status.ok()) {
      Status truncated(Code::kTruncated,
                       "storage '" + name + "' needs " + std::to_string(*bytes) +
                           " bytes but the file ends " + std::to_string(stream.remaining()) +
                           " bytes behind its start, likely an incomplete download");
      return std::move(truncated).at(stream.position());
    }
  }
  for (const StorageIds::View& view : ids.views()) {
    Storage& part = catalog.storages[view.storage];
    part.offset = catalog.storages[view.root].offset +
                  static_cast<uint64_t>(view.offset) * info(part.dtype).bytes;
    placed[view.storage] = placed[view.root];
    if (catalog.lost.contains(view.root)) {
      part.place = StoragePlace::kNowhere;
      catalog.lost[view.storage] = catalog.lost[view.root];
    }
  }
  for (size_t i = 0; i < placed.size(); ++i) {
    if (placed[i] || catalog.storages[i].place != StoragePlace::kFile) continue;
    return Status(Code::kBadRecord, "storage '" + std::string(catalog.storages[i].key) +
                                        "' is not among the storages of the file");
  }
  return {};
}

}  // namespace

bool is_legacy_magic(const Pool& pool, NodeId root) {
  const Node& node = pool[root];
  if (node.tag != Tag::kBigInt) return false;
  return node.text() == ((node.flags & kDecimal) != 0 ? kMagicDecimal : kMagicBinary);
}

Status LegacyReader::read(PickleStream& stream) {
  checkpoint_.format_ = Format::kLegacy;
  checkpoint_.era_ = "0.1.10 to 1.5, or newer with the old format";
  TRY(read_preamble(stream));
  TRY_ASSIGN(const Decoded object, stream.next(checkpoint_.pool_));

  auto ids = std::make_unique<StorageIds>(nullptr, false);
  Interpreter first_pass(*checkpoint_.pool_, checkpoint_.catalog_, *ids, options_.limits);
  TRY(register_storages(first_pass));
  std::unique_ptr<Pool> key_pool;
  TRY_ASSIGN(const Decoded keys, stream.next(key_pool));
  TRY(place_storages(stream, *ids, checkpoint_.catalog_, *key_pool, keys.root,
                     options_.salvage ? &checkpoint_.salvaged_ : nullptr));
  return checkpoint_.finish(options_, object.root, std::move(ids));
}

Result<Storage> read_nested_storage(std::string_view bytes, const Limits& limits) {
  // A view of the nested bytes as a source of their own would copy them; they are in memory
  // already.
  class Bytes final : public Source {
   public:
    explicit Bytes(ByteSpan span) : span_(span) { identity_.size = span.size(); }
    Result<ByteSpan> view(uint64_t offset, uint64_t length) override {
      TRY(check_range(offset, length));
      return span_.subspan(offset, length);
    }
    Status read(uint64_t offset, std::span<std::byte> target) override {
      TRY(check_range(offset, target.size()));
      std::memcpy(target.data(), span_.data() + offset, target.size());
      return {};
    }

   private:
    ByteSpan span_;
  };
  Bytes source(as_bytes(bytes));
  PickleStream stream(source, 0, bytes.size(), limits, nullptr);
  std::unique_ptr<Pool> pool, key_pool;
  TRY_ASSIGN(const Decoded magic, stream.next(pool));
  if (!is_legacy_magic(*pool, magic.root))
    return Status(Code::kBadTensor, "the bytes given to _load_from_bytes are no legacy stream");
  TRY(read_preamble(stream));
  TRY_ASSIGN(const Decoded object, stream.next(pool));
  Catalog catalog;
  StorageIds ids(nullptr, false);
  Interpreter interpreter(*pool, catalog, ids, limits);
  TRY(register_storages(interpreter));
  TRY_ASSIGN(const uint32_t index, interpreter.storage(object.root));
  TRY_ASSIGN(const Decoded keys, stream.next(key_pool));
  TRY(place_storages(stream, ids, catalog, *key_pool, keys.root));
  Storage storage = catalog.storages[index];
  if (storage.place != StoragePlace::kFile || !fits(storage.offset, storage.bytes, bytes.size())) {
    return Status(Code::kBadTensor, "the bytes given to _load_from_bytes hold no storage");
  }
  storage.place = StoragePlace::kMemory;
  storage.memory = reinterpret_cast<const std::byte*>(bytes.data()) + storage.offset;
  storage.key = "nested";  // the key's text goes with the nested pickle
  storage.device = 0;
  return storage;
}

}  // namespace torchmap
