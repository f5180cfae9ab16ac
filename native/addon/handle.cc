#include "addon/handle.h"

namespace torchmap::addon {
namespace {

// Random, so that no other addon's objects pass for ours.
constexpr napi_type_tag kHandleTag = {0x6C1D4B0E93A24F7Bu, 0xA85E20C97F3164D2u};

}  // namespace

Napi::Object wrap(Napi::Env env, std::unique_ptr<Checkpoint> checkpoint) {
  Napi::Object handle = Napi::Object::New(env);
  handle.TypeTag(&kHandleTag);
  auto session = std::make_unique<Session>(std::move(checkpoint));
  const auto finalize = [](napi_env, void* data, void*) { delete static_cast<Session*>(data); };
  const napi_status status = napi_wrap(env, handle, session.get(), finalize, nullptr, nullptr);
  NAPI_THROW_IF_FAILED(env, status, Napi::Object());
  static_cast<void>(session.release());  // the handle owns it now
  return handle;
}

Session& unwrap(const Napi::Value& value) {
  void* session = nullptr;
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kHandleTag) ||
      napi_unwrap(value.Env(), value, &session) != napi_ok) {
    throw Napi::TypeError::New(value.Env(), "Illegal invocation");
  }
  return *static_cast<Session*>(session);
}

}  // namespace torchmap::addon
