// ArrayBuffers over the mapped file, and copies of its bytes.
#include "addon/entries.h"
#include "addon/external.h"
#include "addon/handle.h"
#include "addon/values.h"
#include "core/kernels/fresh_pages.h"
#include "core/load.h"

namespace torchmap::addon {
namespace {

Napi::Object closed(Napi::Env env) {
  return failure(env, Status(Code::kClosed, "the checkpoint is closed"));
}

// Words that native code writes to.
std::span<uint32_t> words_of(const Napi::Value& value) {
  auto array = value.As<Napi::Uint32Array>();
  return {array.Data(), array.ElementLength()};
}

// Window of lib/binding.ts.
Napi::Object window_object(Napi::Env env, const Window& window) {
  Napi::Object result = Napi::Object::New(env);
  result["window"] = static_cast<double>(window.id);
  result["byteOffset"] = static_cast<double>(window.offset);
  return result;
}

}  // namespace

Status check_range(Checkpoint& checkpoint, uint32_t storage, uint64_t start, uint64_t end) {
  const Storage& row = checkpoint.catalog().storages[storage];
  uint64_t bytes = row.bytes;
  if (row.place == StoragePlace::kRecord)
    bytes = checkpoint.archive()->records()[row.record].stored_size;
  if (start <= end && end <= bytes) return {};
  return Status(Code::kTruncated, "bytes " + std::to_string(start) + " to " + std::to_string(end) +
                                      " are not in a storage of " + std::to_string(bytes));
}

Napi::Value window(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Session& session = unwrap(info[0]);
  if (!session.checkpoint) return closed(env);
  const auto storage = static_cast<uint32_t>(integer_of(info[1]));
  const uint64_t start = integer_of(info[2]), end = integer_of(info[3]);
  const uint64_t longest = info[5].IsNumber() ? integer_of(info[5]) : UINT64_MAX;
  Source& source = session.checkpoint->source();
  if (storage >= session.checkpoint->catalog().storages.size())
    throw Napi::RangeError::New(env, "no such storage");
  if (Status status = check_range(*session.checkpoint, storage, start, end); !status.ok())
    return failure(env, status);
  if (Status status = source.check_unchanged(); !status.ok()) return failure(env, status);
  Windows& windows = *session.windows;
  const auto pages = source.mapped();
  napi_value buffer = nullptr;
  bool zero_copy = false;
  Window window;
  if (!info[4].ToBoolean()) session.external = false;
  // Twice where the runtime turns out to refuse external buffers.
  while (buffer == nullptr) {
    auto found = windows.find(storage, start, end, longest, session.external);
    if (!found.ok()) return failure(env, found.status());
    const uint64_t length = found->end - found->begin;
    if (!fits(found->begin, length, pages.size()))
      throw Napi::RangeError::New(env, "the window is not in the mapping");
    const Windows::Places places = {words_of(info[6]), words_of(info[7])};
    if (!found->fresh) {
      if (session.external && windows.add_places(storage, *found, places)) return env.Undefined();
      return window_object(env, *found);
    }
    window = *found;
    zero_copy = session.external && !found->copy;
    if (zero_copy) {
      std::byte* first = pages.data() + found->begin;
      const External made =
          wrap_pages(env, first, length, session.checkpoint->source_handle(), buffer);
      if (made == External::kRefused) {
        session.external = false;
        continue;
      }
      zero_copy = made == External::kMade;
    }
    if (!zero_copy) {
      Napi::ArrayBuffer copy = Napi::ArrayBuffer::New(env, length);
      expect_writes({static_cast<std::byte*>(copy.Data()), length});
      std::memcpy(copy.Data(), pages.data() + found->begin, length);
      buffer = copy;
    }
    if (zero_copy) windows.add_places(storage, *found, places);
  }
  Napi::Object result = window_object(env, window);
  result["zeroCopy"] = zero_copy;
  result["buffer"] = Napi::Value(env, buffer);
  return result;
}

Napi::Value check_unchanged(const Napi::CallbackInfo& info) {
  Session& session = unwrap(info[0]);
  if (!session.checkpoint) return closed(info.Env());
  const Status status = session.checkpoint->source().check_unchanged();
  return status.ok() ? info.Env().Undefined() : Napi::Value(failure(info.Env(), status));
}

Napi::Value read(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Session& session = unwrap(info[0]);
  if (!session.checkpoint) return closed(env);
  const auto storage = static_cast<uint32_t>(integer_of(info[1]));
  const uint64_t start = integer_of(info[2]), end = integer_of(info[3]);
  Checkpoint& checkpoint = *session.checkpoint;
  if (storage >= checkpoint.catalog().storages.size())
    throw Napi::RangeError::New(env, "no such storage");
  if (Status status = check_range(checkpoint, storage, start, end); !status.ok())
    return failure(env, status);
  if (Status status = checkpoint.source().check_unchanged(); !status.ok())
    return failure(env, status);
  const Storage& row = checkpoint.catalog().storages[storage];
  auto offset = checkpoint.storage_offset(storage);
  if (!offset.ok()) return failure(env, offset.status());
  Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(env, end - start);
  if (row.place == StoragePlace::kMemory) {
    expect_writes(bytes_of(buffer));
    if (end != start) std::memcpy(buffer.Data(), row.memory + start, end - start);
  } else {
    Status status = load_fresh(checkpoint.source(), *offset + start, bytes_of(buffer));
    if (!status.ok()) return failure(env, status);
  }
  Napi::Object result = Napi::Object::New(env);
  result["buffer"] = buffer;
  return result;
}

Napi::Value storage_offset(const Napi::CallbackInfo& info) {
  Session& session = unwrap(info[0]);
  if (!session.checkpoint) return closed(info.Env());
  if (Status status = session.checkpoint->source().check_unchanged(); !status.ok())
    return failure(info.Env(), status);
  auto offset = session.checkpoint->storage_offset(static_cast<uint32_t>(integer_of(info[1])));
  if (!offset.ok()) return failure(info.Env(), offset.status());
  Napi::Object result = Napi::Object::New(info.Env());
  result["offset"] = static_cast<double>(*offset);
  return result;
}

// A buffer that is detached already was moved by its owner (ArrayBuffer.prototype.transfer): its
// pages stay mapped until it is collected. Otherwise nothing refers to them any more and they go
// now.
Napi::Value close(const Napi::CallbackInfo& info) {
  Session& session = unwrap(info[0]);
  if (!session.checkpoint) return info.Env().Undefined();
  bool moved = false;
  const auto buffers = info[1].As<Napi::Array>();
  for (uint32_t i = 0; i < buffers.Length(); ++i) {
    auto buffer = buffers.Get(i).As<Napi::ArrayBuffer>();
    if (buffer.IsDetached()) {
      moved = true;
    } else {
      buffer.Detach();
    }
  }
  const std::shared_ptr<Source> source = session.checkpoint->source_handle();
  *session.closed = true;
  session.windows.reset();
  session.checkpoint.reset();
  if (!moved) source->unmap();
  return info.Env().Undefined();
}

}  // namespace torchmap::addon
