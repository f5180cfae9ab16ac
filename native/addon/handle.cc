#include "addon/handle.h"

namespace torchmap::addon {
namespace {

// Random, so that no other addon's objects pass for ours.
constexpr napi_type_tag kHandleTag = {0x6C1D4B0E93A24F7Bu, 0xA85E20C97F3164D2u};
constexpr napi_type_tag kFileTag = {0x1FB2C6D90E7548A3u, 0x9D04E7315CB8F26Au};
constexpr napi_type_tag kRangesTag = {0x52E8A1D37C90B46Fu, 0xE36B0F9417D2C85Au};

template <typename T>
Napi::Object wrap_tagged(Napi::Env env, const napi_type_tag& tag, std::unique_ptr<T> owned) {
  Napi::Object handle = Napi::Object::New(env);
  handle.TypeTag(&tag);
  const auto finalize = [](napi_env, void* data, void*) { delete static_cast<T*>(data); };
  const napi_status status = napi_wrap(env, handle, owned.get(), finalize, nullptr, nullptr);
  NAPI_THROW_IF_FAILED(env, status, Napi::Object());
  static_cast<void>(owned.release());  // the handle owns it now
  return handle;
}

template <typename T>
T& unwrap_tagged(const Napi::Value& value, const napi_type_tag& tag) {
  void* owned = nullptr;
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&tag) ||
      napi_unwrap(value.Env(), value, &owned) != napi_ok) {
    throw Napi::TypeError::New(value.Env(), "Illegal invocation");
  }
  return *static_cast<T*>(owned);
}

}  // namespace

Napi::Object wrap(Napi::Env env, std::unique_ptr<Checkpoint> checkpoint) {
  return wrap_tagged(env, kHandleTag, std::make_unique<Session>(std::move(checkpoint)));
}

Session& unwrap(const Napi::Value& value) { return unwrap_tagged<Session>(value, kHandleTag); }

Napi::Object wrap_file(Napi::Env env, SharedFile file) {
  return wrap_tagged(env, kFileTag, std::make_unique<SharedFile>(std::move(file)));
}

SharedFile& unwrap_file(const Napi::Value& value) {
  return unwrap_tagged<SharedFile>(value, kFileTag);
}

Napi::Object wrap_ranges(Napi::Env env, SharedRanges ranges) {
  return wrap_tagged(env, kRangesTag, std::make_unique<SharedRanges>(std::move(ranges)));
}

SharedRanges& unwrap_ranges(const Napi::Value& value) {
  return unwrap_tagged<SharedRanges>(value, kRangesTag);
}

}  // namespace torchmap::addon
