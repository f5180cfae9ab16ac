// Opening: at once, or on a thread of libuv's pool.
#include "addon/entries.h"
#include "addon/guard.h"
#include "addon/handle.h"
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
  request.source.map = options.Get("map").ToBoolean();
  request.options.strict_globals = options.Get("strict").ToBoolean();
  request.options.salvage = options.Get("salvage").ToBoolean();
  const auto limits = options.Get("limits").As<Napi::Object>();
#define LIMIT(member, js, value, reason) \
  if (limits.Has(js)) request.options.limits.member = integer_of(limits.Get(js));
#include "core/limits.def"
#undef LIMIT
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
  }
  source->release();
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

class OpenWorker final : public Napi::AsyncWorker {
 public:
  OpenWorker(Napi::Env env, std::string path, Request request, const Napi::Uint8Array& cancel)
      : Napi::AsyncWorker(env),
        deferred_(env),
        path_(std::move(path)),
        request_(std::move(request)),
        cancel_(Napi::Persistent(cancel)) {
    static_assert(sizeof(std::atomic<bool>) == 1);
    request_.options.cancelled = reinterpret_cast<const std::atomic<bool>*>(cancel.Data());
  }

  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override {
    try {
      result_.emplace(open_path(path_, request_));
    } catch (const std::bad_alloc&) {
      SetError("there is not enough memory");
    }
  }
  // Nothing may be thrown out of here: a worker thread that is being terminated refuses every call.
  void OnOK() override {
    const Napi::HandleScope scope(Env());
    try {
      deferred_.Resolve(result_->ok() ? opened(Env(), std::move(*result_).value())
                                      : failure(Env(), result_->status()));
    } catch (const std::bad_alloc&) {
      deferred_.Reject(out_of_memory(Env()).Value());
    } catch (const Napi::Error&) {
    }
  }
  void OnError(const Napi::Error&) override {
    const Napi::HandleScope scope(Env());
    try {
      deferred_.Reject(out_of_memory(Env()).Value());
    } catch (const Napi::Error&) {
    }
  }

 private:
  Napi::Promise::Deferred deferred_;
  std::string path_;
  Request request_;
  Napi::Reference<Napi::Uint8Array> cancel_;
  std::optional<Result<std::unique_ptr<Checkpoint>>> result_;
};

}  // namespace

Napi::Value open_sync(const Napi::CallbackInfo& info) {
  const Request request = read_request(info[1].As<Napi::Object>());
  auto result = info[0].IsString()   ? open_path(info[0].As<Napi::String>().Utf8Value(), request)
                : info[2].IsNumber() ? open_inside(unwrap_file(info[0]), integer_of(info[2]),
                                                   integer_of(info[3]), request)
                                     : open_bytes(bytes_of(info[0]), request);
  return result.ok() ? opened(info.Env(), std::move(result).value())
                     : failure(info.Env(), result.status());
}

Napi::Value open_async(const Napi::CallbackInfo& info) {
  auto worker = std::make_unique<OpenWorker>(info.Env(), info[0].As<Napi::String>().Utf8Value(),
                                             read_request(info[1].As<Napi::Object>()),
                                             info[2].As<Napi::Uint8Array>());
  const Napi::Promise promise = worker->promise();
  worker.release()->Queue();
  return promise;
}

Napi::Value open_shared(const Napi::CallbackInfo& info) {
  auto source = open_file(info[0].As<Napi::String>().Utf8Value(), {info[1].ToBoolean()});
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

Napi::Value read_index(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Request request = read_request(info[1].As<Napi::Object>());
  // Read, not mapped: it is looked at once.
  auto source = open_file(info[0].As<Napi::String>().Utf8Value(), {false});
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
