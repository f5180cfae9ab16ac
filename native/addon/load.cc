// Elements into memory of the caller, at once or on threads of libuv's pool; and what the system is
// told of bytes that will be wanted soon, or no more.
#include "core/load.h"

#include "addon/entries.h"
#include "addon/handle.h"
#include "addon/promise_worker.h"
#include "addon/values.h"
#include "core/kernels/convert.h"

namespace torchmap::addon {
namespace {

Status closed() { return Status(Code::kClosed, "the checkpoint is closed"); }

// What a call has looked up before a thread goes to work: a source that lives on when the
// checkpoint is closed, and places in the file.
struct LoadWork {
  std::shared_ptr<Source> reader;
  std::vector<Load> loads;
  LoadOptions options;

  Result<bool> run() const {
    TRY(load(*reader, loads, options));
    return true;
  }
  static Napi::Object settle(Napi::Env env, bool) { return Napi::Object::New(env); }
};

struct AheadWork {
  struct Range {
    uint64_t offset, length;  // bytes
  };
  // Bytes between two looks whether anybody still wants them.
  static constexpr uint64_t kPiece = uint64_t{4} << 20;
  std::shared_ptr<Source> reader;
  std::vector<Range> ranges;
  std::shared_ptr<const std::atomic<bool>> closed;

  Result<bool> run() const {
    for (auto [offset, left] : ranges) {
      for (uint64_t taken; left > 0 && !*closed; offset += taken, left -= taken) {
        taken = std::min(left, kPiece);
        reader->read_ahead(offset, taken);
      }
    }
    return true;
  }
  static Napi::Object settle(Napi::Env env, bool) { return Napi::Object::New(env); }
};

// Rows of LoadColumn in lib/tables.ts, each with a target.
Result<LoadWork> read_loads(const Napi::CallbackInfo& info) {
  constexpr size_t kColumns = 6;
  const Napi::Env env = info.Env();
  Session& session = unwrap(info[0]);
  if (!session.checkpoint) return closed();
  TRY(session.checkpoint->source().check_unchanged());
  LoadWork work;
  work.reader = session.checkpoint->source().reader();
  if (!work.reader) return closed();
  const auto rows = info[1].As<Napi::Float64Array>();
  const auto targets = info[2].As<Napi::Array>();
  const double* row = rows.Data();
  work.loads.reserve(targets.Length());
  for (uint32_t i = 0; i < targets.Length(); ++i, row += kColumns) {
    if ((i + 1) * kColumns > rows.ElementLength())
      throw Napi::RangeError::New(env, "there are more targets than rows");
    const auto at = [&](size_t column) { return static_cast<uint64_t>(row[column]); };
    Load load;
    if (at(3) >= static_cast<uint64_t>(DType::kCount))
      throw Napi::RangeError::New(env, "no such dtype");
    load.dtype = static_cast<DType>(at(3));
    load.to_float32 = at(4) != 0;
    const uint64_t start = at(1), end = at(2), from = at(5),
                   itemsize = torchmap::info(load.dtype).bytes;
    TRY_ASSIGN(load.offset,
               file_place(*session.checkpoint, static_cast<uint32_t>(at(0)), start, end));
    load.bytes = end - start;
    const std::span<std::byte> target = bytes_of(targets.Get(i));
    const uint64_t written =
        load.to_float32 ? product_of(env, load.bytes / itemsize, sizeof(float)) : load.bytes;
    if (!fits(from, written, target.size()))
      throw Napi::RangeError::New(env, "the elements are not in the target");
    load.target = target.data() + from;
    const bool converts = converts_to_float32(load.dtype) && load.bytes % itemsize == 0 &&
                          reinterpret_cast<uintptr_t>(load.target) % alignof(float) == 0;
    if (load.to_float32 && !converts)
      throw Napi::RangeError::New(env, "not for these elements or this target");
    work.loads.push_back(load);
  }
  return work;
}

}  // namespace

Result<uint64_t> file_place(Checkpoint& checkpoint, uint32_t storage, uint64_t start,
                            uint64_t end) {
  const std::vector<Storage>& storages = checkpoint.catalog().storages;
  const bool lies =
      storage < storages.size() && (storages[storage].place == StoragePlace::kRecord ||
                                    storages[storage].place == StoragePlace::kFile);
  if (!lies) return Status(Code::kBadTensor, "the storage does not lie in the file");
  TRY(check_range(checkpoint, storage, start, end));
  TRY_ASSIGN(const uint64_t offset, checkpoint.storage_offset(storage));
  return offset + start;
}

Napi::Value load_sync(const Napi::CallbackInfo& info) {
  auto work = read_loads(info);
  if (!work.ok()) return failure(info.Env(), work.status());
  auto done = work->run();
  return done.ok() ? Napi::Object::New(info.Env()) : failure(info.Env(), done.status());
}

Napi::Value load_async(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto work = read_loads(info);
  if (!work.ok()) return refused(env, work.status());
  const auto control = info[3].As<Napi::BigUint64Array>();
  share_control(control, work->options);
  const Napi::Object held = Napi::Object::New(env);
  held["targets"] = info[2];
  held["control"] = control;
  return PromiseWorker<LoadWork, Napi::Object>::start(env, std::move(work).value(), held);
}

// Rows of offset and length.
Napi::Value read_ahead(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Session& session = unwrap(info[0]);
  if (!session.checkpoint) return refused(env, closed());
  AheadWork work;
  work.reader = session.checkpoint->source().reader();
  if (!work.reader) return refused(env, closed());
  work.closed = session.closed;
  const auto rows = info[1].As<Napi::Float64Array>();
  for (size_t i = 0; i + 2 <= rows.ElementLength(); i += 2)
    work.ranges.push_back({static_cast<uint64_t>(rows[i]), static_cast<uint64_t>(rows[i + 1])});
  return PromiseWorker<AheadWork, Napi::Object>::start(env, std::move(work),
                                                       Napi::Object::New(env));
}

Napi::Value drop(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Session& session = unwrap(info[0]);
  if (!session.checkpoint) return failure(env, closed());
  Source& source = session.checkpoint->source();
  source.drop(integer_of(info[1]), integer_of(info[2]), info[3].ToBoolean());
  return Napi::Object::New(env);
}

// For each storage where in the file its bytes begin, or the header in front of them; -1 for those
// that lie elsewhere.
Napi::Value storage_places(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Session& session = unwrap(info[0]);
  if (!session.checkpoint) return failure(env, closed());
  const std::vector<Storage>& storages = session.checkpoint->catalog().storages;
  std::vector<double> places(storages.size(), -1);
  for (size_t i = 0; i < storages.size(); ++i) {
    const Storage& row = storages[i];
    if (row.place == StoragePlace::kFile) places[i] = static_cast<double>(row.offset);
    if (row.place != StoragePlace::kRecord) continue;
    const Record& record = session.checkpoint->archive()->records()[row.record];
    places[i] = static_cast<double>(record.header_offset);
  }
  Napi::Object result = Napi::Object::New(env);
  result["places"] = reals(env, places.data(), places.size());
  return result;
}

}  // namespace torchmap::addon
