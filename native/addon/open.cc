// Opening: at once, or on a thread of libuv's pool.
#include "addon/entries.h"
#include "addon/handle.h"
#include "addon/promise_worker.h"
#include "addon/values.h"
#include "core/format/split_index.h"
#include "core/source/slice.h"

namespace torchmap::addon {
namespace {

// The options of lib/binding.ts, copied so that a thread can use them.
struct Request {
  OpenOptions options;
  SourceOptions source;
  std::vector<std::string> inflated_names;
  std::vector<std::string> inflated_bytes;

  std::vector<InflatedRecord> inflated() const {
    std::vector<InflatedRecord> records;
    for (size_t i = 0; i < inflated_names.size(); ++i)
      records.push_back({inflated_names[i], as_bytes(inflated_bytes[i])});
    return records;
  }
};

Request read_request(const Napi::Object& options) {
  Request request;
  request.source = source_options(options.Get("io"));
  request.options.strict_globals = options.Get("strict").ToBoolean();
  request.options.salvage = options.Get("salvage").ToBoolean();
  request.options.limits = limits_of(options.Get("limits"));
  const auto inflated = options.Get("inflated").As<Napi::Array>();
  for (uint32_t i = 0; i < inflated.Length(); ++i) {
    const auto record = inflated.Get(i).As<Napi::Object>();
    request.inflated_names.push_back(record.Get("name").As<Napi::String>().Utf8Value());
    const auto bytes = bytes_of(record.Get("bytes"));
    request.inflated_bytes.emplace_back(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  return request;
}

Result<std::unique_ptr<Checkpoint>> open_path(const std::string& path, const Request& request) {
  TRY_ASSIGN(std::shared_ptr<Source> source, open_file(path, request.source));
  return Checkpoint::open(std::move(source), request.options, request.inflated());
}

// The caller's bytes may change or go away after the call: what lies where is looked up before it
// ends.
Result<std::unique_ptr<Checkpoint>> open_bytes(ByteSpan bytes, const Request& request) {
  const auto source = open_memory(bytes);
  auto checkpoint = Checkpoint::open(source, request.options, request.inflated());
  if (checkpoint.ok()) {
    for (uint32_t i = 0; i < (*checkpoint)->catalog().storages.size(); ++i) {
      auto offset = (*checkpoint)->storage_offset(i);
      if (!offset.ok()) return std::move(offset).status();
    }
    if (ScriptCode* code = (*checkpoint)->code(); code != nullptr) {
      if (auto records = code->records(); !records.ok()) return std::move(records).status();
    }
  }
  source->release();
  return checkpoint;
}

// What this took for an answer although it was only not here yet does not count.
Result<std::unique_ptr<Checkpoint>> open_ranges(const SharedRanges& ranges,
                                                const Request& request) {
  auto checkpoint = Checkpoint::open(ranges, request.options, request.inflated());
  if (checkpoint.ok()) {
    if (ScriptCode* code = (*checkpoint)->code(); code != nullptr) {
      if (auto records = code->records(); !records.ok()) return std::move(records).status();
    }
  }
  if (const auto missing = ranges->take_missing()) return not_loaded(*missing);
  return checkpoint;
}

// A checkpoint inside a file, at bytes [offset, offset + length) of it.
Result<std::unique_ptr<Checkpoint>> open_inside(const SharedFile& file, uint64_t offset,
                                                uint64_t length, const Request& request) {
  if (!file) return Status(Code::kClosed, "the file is closed");
  TRY_ASSIGN(std::shared_ptr<Source> slice, slice_source(file, offset, length));
  auto checkpoint = Checkpoint::open(std::move(slice), request.options, request.inflated());
  if (!checkpoint.ok() && checkpoint.status().failure().offset)
    *checkpoint.status().failure().offset += offset;
  return checkpoint;
}

Result<OpenedCheckpoint> packed(Result<std::unique_ptr<Checkpoint>> checkpoint) {
  if (!checkpoint.ok()) return std::move(checkpoint).status();
  PackedTables tables = pack_tables(**checkpoint);
  return OpenedCheckpoint{std::move(*checkpoint), std::move(tables)};
}

struct OpenWork {
  std::string path;
  SharedRanges ranges;  // instead of a path
  Request request;

  Result<OpenedCheckpoint> run() const {
    return packed(ranges ? open_ranges(ranges, request) : open_path(path, request));
  }
  static Napi::Object settle(Napi::Env env, OpenedCheckpoint made) {
    return opened(env, std::move(made));
  }
};

}  // namespace

Napi::Value open_sync(const Napi::CallbackInfo& info) {
  const Request request = read_request(info[1].As<Napi::Object>());
  auto result =
      packed(info[0].IsString()   ? open_path(info[0].As<Napi::String>().Utf8Value(), request)
             : info[2].IsNumber() ? open_inside(unwrap_file(info[0]), integer_of(info[2]),
                                                integer_of(info[3]), request)
                                  : open_bytes(bytes_of(info[0]), request));
  return result.ok() ? opened(info.Env(), std::move(result).value())
                     : failure(info.Env(), result.status());
}

Napi::Value open_async(const Napi::CallbackInfo& info) {
  OpenWork work{{}, nullptr, read_request(info[1].As<Napi::Object>())};
  if (info[0].IsString()) {
    work.path = info[0].As<Napi::String>().Utf8Value();
  } else {
    work.ranges = unwrap_ranges(info[0]);
  }
  static_assert(sizeof(std::atomic<bool>) == 1);
  const auto cancel = info[2].As<Napi::Uint8Array>();
  work.request.options.cancelled = reinterpret_cast<const std::atomic<bool>*>(cancel.Data());
  return PromiseWorker<OpenWork, Napi::Uint8Array>::start(info.Env(), std::move(work), cancel);
}

Napi::Value open_shared(const Napi::CallbackInfo& info) {
  auto source = open_file(info[0].As<Napi::String>().Utf8Value(), source_options(info[1]));
  if (!source.ok()) return failure(info.Env(), source.status());
  Napi::Object result = Napi::Object::New(info.Env());
  result["size"] = static_cast<double>((*source)->size());
  result["mapped"] = !(*source)->mapped().empty();
  result["file"] = wrap_file(info.Env(), std::move(*source));
  return result;
}

Napi::Value close_shared(const Napi::CallbackInfo& info) {
  unwrap_file(info[0]).reset();
  return info.Env().Undefined();
}

// What a checkpoint that was attached was opened without, over the same pages.
Napi::Value decode(const Napi::CallbackInfo& info) {
  Session& session = unwrap(info[0]);
  if (!session.checkpoint)
    return failure(info.Env(), Status(Code::kClosed, "the checkpoint is closed"));
  if (Status status = session.checkpoint->source().check_unchanged(); !status.ok())
    return failure(info.Env(), status);
  const Request request = read_request(info[1].As<Napi::Object>());
  auto result = packed(
      Checkpoint::open(session.checkpoint->source_handle(), request.options, request.inflated()));
  return result.ok() ? opened(info.Env(), std::move(result).value())
                     : failure(info.Env(), result.status());
}

Napi::Value read_index(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Request request = read_request(info[1].As<Napi::Object>());
  // Read, not mapped: it is looked at once.
  auto source = info[0].IsString()
                    ? open_file(info[0].As<Napi::String>().Utf8Value(), {false})
                    : Result<std::shared_ptr<Source>>(open_memory(bytes_of(info[0])));
  if (!source.ok()) return failure(env, source.status());
  auto index = read_split_index(**source, request.options.limits);
  if (!index.ok()) return failure(env, index.status());
  Napi::Object result = Napi::Object::New(env);
  if (!*index) return result;
  Napi::Array files = Napi::Array::New(env, (*index)->files.size());
  for (uint32_t i = 0; i < files.Length(); ++i)
    files[i] = Napi::String::New(env, (*index)->files[i]);
  const Names& names = (*index)->names;
  result["files"] = files;
  result["names"] = packed_strings(env, names);
  result["parts"] = words(env, names.tensors.data(), names.size());
  return result;
}

}  // namespace torchmap::addon
