// ArrayBuffers over memory that is not the runtime's.
#pragma once

#include <napi.h>

#include <memory>
#include <span>

namespace torchmap::addon {

enum class External : uint8_t {
  kMade,
  kFailed,
  kRefused,  // this runtime makes none, so that there is no point in asking again
};

// An ArrayBuffer over memory that lives as long as `hold`; for lengths that the caller has found to
// be allowed.
External wrap_pages(Napi::Env env, std::byte* first, uint64_t length, std::shared_ptr<void> hold,
                    napi_value& buffer);

}  // namespace torchmap::addon
