#include "addon/external.h"

namespace torchmap::addon {

// The one place that makes external buffers. On raw Node-API, because the convenience constructor
// frees its finalizer's data a second time when the runtime refuses (node-addon-api 8.9,
// Napi::ArrayBuffer::New). The finalizer drops one reference and nothing else: some runtimes run it
// on another thread.
External wrap_pages(Napi::Env env, std::byte* first, uint64_t length, std::shared_ptr<void> hold,
                    napi_value& buffer) {
  using Hold = std::shared_ptr<void>;
  auto* held = new Hold(std::move(hold));
  const auto finalize = [](napi_env, void*, void* hint) noexcept {
    delete static_cast<Hold*>(hint);
  };
  const napi_status status =
      napi_create_external_arraybuffer(env, first, length, finalize, held, &buffer);
  if (status == napi_ok) return External::kMade;
  // Refused, nothing was taken over. On any other failure Node has called the finalizer.
  const bool refused = status == napi_no_external_buffers_allowed;
  if (refused) delete held;
  bool pending = false;
  if (napi_is_exception_pending(env, &pending) == napi_ok && pending) {
    napi_value ignored;
    napi_get_and_clear_last_exception(env, &ignored);
  }
  return refused ? External::kRefused : External::kFailed;
}

}  // namespace torchmap::addon
