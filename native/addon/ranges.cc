// Checkpoints that are elsewhere: what was brought here of one, and where in it storages lie.
#include "core/source/ranges.h"

#include "addon/entries.h"
#include "addon/handle.h"
#include "addon/values.h"

namespace torchmap::addon {

Napi::Value new_ranges(const Napi::CallbackInfo& info) {
  return wrap_ranges(info.Env(), std::make_shared<RangesSource>(integer_of(info[0])));
}

Napi::Value supply(const Napi::CallbackInfo& info) {
  const Status status = unwrap_ranges(info[0])->supply(integer_of(info[1]), bytes_of(info[2]));
  return status.ok() ? Napi::Object::New(info.Env()) : failure(info.Env(), status);
}

// Rows of ExtentColumn in lib/tables.ts, one for each storage.
Napi::Value storage_extents(const Napi::CallbackInfo& info) {
  constexpr size_t kColumns = 5;
  const Napi::Env env = info.Env();
  Session& session = unwrap(info[0]);
  if (!session.checkpoint) return failure(env, Status(Code::kClosed, "the checkpoint is closed"));
  Checkpoint& checkpoint = *session.checkpoint;
  const std::vector<Storage>& storages = checkpoint.catalog().storages;
  std::vector<double> rows;
  rows.reserve(storages.size() * kColumns);
  for (const Storage& storage : storages) {
    const auto add = [&](uint64_t begin, uint64_t header, uint64_t end, uint64_t stored,
                         uint32_t crc) {
      for (const uint64_t number : {begin, header, end, stored, uint64_t{crc}})
        rows.push_back(static_cast<double>(number));
    };
    if (storage.place == StoragePlace::kFile) {
      add(storage.offset, 0, storage.offset + storage.bytes, storage.bytes, 0);
    } else if (storage.place == StoragePlace::kRecord) {
      const Record& record = checkpoint.archive()->records()[storage.record];
      // The checksum of a deflated record is one of what it inflates to.
      add(record.header_offset, ZipArchive::header_bytes(record), record.end, record.stored_size,
          record.method == 0 ? record.crc : 0);
    } else {
      rows.insert(rows.end(), {-1, 0, -1, 0, 0});
    }
  }
  Napi::Object result = Napi::Object::New(env);
  result["rows"] = reals(env, rows.data(), rows.size());
  return result;
}

// From the header in front of a storage's record.
Napi::Value place_storage(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Session& session = unwrap(info[0]);
  if (!session.checkpoint) return failure(env, Status(Code::kClosed, "the checkpoint is closed"));
  Checkpoint& checkpoint = *session.checkpoint;
  const auto index = static_cast<uint32_t>(integer_of(info[1]));
  const std::vector<Storage>& storages = checkpoint.catalog().storages;
  if (index >= storages.size() || storages[index].place != StoragePlace::kRecord)
    throw Napi::RangeError::New(env, "no such record");
  RangesSource header(checkpoint.source().size());
  const uint64_t begin = checkpoint.archive()->records()[storages[index].record].header_offset;
  if (Status status = header.supply(begin, bytes_of(info[2])); !status.ok())
    return failure(env, status);
  auto offset = checkpoint.storage_offset(index, &header);
  if (!offset.ok()) return failure(env, offset.status());
  Napi::Object result = Napi::Object::New(env);
  result["offset"] = static_cast<double>(*offset);
  return result;
}

}  // namespace torchmap::addon
