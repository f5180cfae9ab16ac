// Checking the records of archives against their checksums: at once, or on a thread of libuv's
// pool, which has help from others.
#include <algorithm>
#include <thread>

#include "addon/entries.h"
#include "addon/handle.h"
#include "addon/promise_worker.h"
#include "addon/values.h"
#include "core/archive/crc32.h"
#include "core/archive/zip_layout.h"
#include "core/verify/archive.h"

namespace torchmap::addon {
namespace {

using Rows = std::vector<CheckedRecord>;

// What a thread needs: a source that lives on when the checkpoint is closed.
struct Work {
  std::shared_ptr<std::byte[]> copy;  // of the caller's bytes, where the source is over that
  std::shared_ptr<Source> source;
  VerifyOptions options;
  bool is_archive = false;

  // No rows for what has no checksums, but the file must be the one that was opened.
  Result<Rows> run() const {
    if (is_archive) return verify_archive(*source, options);
    TRY(source->check_unchanged());
    return Rows();
  }
  static Napi::Object settle(Napi::Env env, const Rows& rows);
};

// The second argument are the caller's bytes, for a checkpoint that was opened from them.
Result<Work> read_work(const Napi::CallbackInfo& info) {
  Session& session = unwrap(info[0]);
  if (!session.checkpoint) return Status(Code::kClosed, "the checkpoint is closed");
  Work work;
  if (info[1].IsUndefined()) {
    work.source = session.checkpoint->source().reader();
    if (!work.source) return Status(Code::kClosed, "the file is closed");
  } else {
    work.source = open_memory(bytes_of(info[1]));
  }
  work.is_archive = session.checkpoint->archive().has_value();
  work.options.salvage = session.checkpoint->salvaged();
  work.options.limits = limits_of(info[2]);
  work.options.threads = std::max(std::thread::hardware_concurrency(), 1u);
  return work;
}

// Whether something takes so long that the main thread must not wait for it.
bool has_deflated(const Session& session) {
  const auto& archive = session.checkpoint->archive();
  return archive && std::any_of(archive->records().begin(), archive->records().end(),
                                [](const Record& row) { return row.method == kDeflated; });
}

void add(Names& names, std::string_view name) {
  names.text += name;
  names.ends.push(names.text.size());
}

// Verified of lib/binding.ts.
Napi::Object verified(Napi::Env env, const Rows& rows) {
  constexpr size_t kColumns = 4;
  Names names, faults;
  Napi::Float64Array table = Napi::Float64Array::New(env, rows.size() * kColumns);
  double* cell = table.Data();
  for (const CheckedRecord& row : rows) {
    add(names, row.name);
    add(faults, row.fault);
    *cell++ = static_cast<double>(row.verdict);
    *cell++ = static_cast<double>(row.stored_size);
    *cell++ = row.expected;
    *cell++ = row.actual;
  }
  Napi::Object result = Napi::Object::New(env);
  result["names"] = packed_strings(env, names);
  result["faults"] = packed_strings(env, faults);
  result["rows"] = table;
  return result;
}

Napi::Object Work::settle(Napi::Env env, const Rows& rows) { return verified(env, rows); }

}  // namespace

Napi::Value verify_sync(const Napi::CallbackInfo& info) {
  auto work = read_work(info);
  if (!work.ok()) return failure(info.Env(), work.status());
  auto rows = work->run();
  return rows.ok() ? verified(info.Env(), *rows) : failure(info.Env(), rows.status());
}

Napi::Value verify_async(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto work = read_work(info);
  if (!work.ok()) return refused(env, work.status());
  if (!info[1].IsUndefined()) {
    // The caller's bytes could go away under a thread.
    if (!has_deflated(unwrap(info[0]))) {
      auto rows = work->run();
      return resolved(env, rows.ok() ? verified(env, *rows) : failure(env, rows.status()));
    }
    const ByteSpan bytes = bytes_of(info[1]);
    work->copy = std::shared_ptr<std::byte[]>(new std::byte[bytes.size()]);
    std::copy(bytes.begin(), bytes.end(), work->copy.get());
    work->source = open_memory({work->copy.get(), bytes.size()});
  }
  const auto control = info[3].As<Napi::BigUint64Array>();
  share_control(control, work->options);
  return PromiseWorker<Work, Napi::BigUint64Array>::start(env, std::move(work).value(), control);
}

// For each storage the record its bytes lie in, or kNoIndex.
Napi::Value storage_records(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Session& session = unwrap(info[0]);
  if (!session.checkpoint) return failure(env, Status(Code::kClosed, "the checkpoint is closed"));
  const std::vector<Storage>& storages = session.checkpoint->catalog().storages;
  std::vector<uint32_t> found(storages.size(), kNoIndex);
  if (const auto& archive = session.checkpoint->archive()) {
    const std::vector<Record>& records = archive->records();
    std::vector<uint32_t> order(records.size());
    for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      return records[a].header_offset < records[b].header_offset;
    });
    for (size_t i = 0; i < storages.size(); ++i) {
      const Storage& row = storages[i];
      if (row.place == StoragePlace::kRecord) found[i] = row.record;
      if (row.place != StoragePlace::kFile) continue;
      // An archive in a record of the archive.
      const auto behind = std::upper_bound(
          order.begin(), order.end(), row.offset,
          [&](uint64_t offset, uint32_t record) { return offset < records[record].header_offset; });
      if (behind != order.begin() && row.offset < records[behind[-1]].end) found[i] = behind[-1];
    }
  }
  Napi::Object result = Napi::Object::New(env);
  result["records"] = words(env, found.data(), found.size());
  return result;
}

// Bytes of the file as it is now, for a record to be inflated.
Napi::Value read_file_bytes(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Session& session = unwrap(info[0]);
  if (!session.checkpoint) return failure(env, Status(Code::kClosed, "the checkpoint is closed"));
  const uint64_t offset = integer_of(info[1]), length = integer_of(info[2]);
  Source& source = session.checkpoint->source();
  if (Status status = source.check_unchanged(); !status.ok()) return failure(env, status);
  if (!fits(offset, length, source.size()))
    throw Napi::RangeError::New(env, "the bytes are not in the file");
  Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(env, length);
  Status status = source.read(offset, {static_cast<std::byte*>(buffer.Data()), length});
  if (!status.ok()) return failure(env, status);
  Napi::Object result = Napi::Object::New(env);
  result["buffer"] = buffer;
  return result;
}

Napi::Value crc32_of(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), crc32(0, bytes_of(info[0])));
}

}  // namespace torchmap::addon
