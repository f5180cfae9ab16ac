// Keeps C++ exceptions from crossing into JavaScript. The core throws none but std::bad_alloc.
#pragma once

#include <napi.h>

#include <new>

namespace torchmap::addon {

template <Napi::Value (*function)(const Napi::CallbackInfo&)>
Napi::Value guarded(const Napi::CallbackInfo& info) {
  try {
    return function(info);
  } catch (const std::bad_alloc&) {
    Napi::Error error = Napi::RangeError::New(info.Env(), "there is not enough memory");
    error.Set("code", "ENOMEM");
    throw error;
  }
}

}  // namespace torchmap::addon
