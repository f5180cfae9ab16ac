// Keeps C++ exceptions from crossing into JavaScript. The core throws none but std::bad_alloc.
#pragma once

#include <napi.h>

#include <new>

namespace torchmap::addon {

inline Napi::Error out_of_memory(Napi::Env env) {
  Napi::Error error = Napi::RangeError::New(env, "there is not enough memory");
  error.Set("code", "ENOMEM");
  return error;
}

template <Napi::Value (*function)(const Napi::CallbackInfo&)>
Napi::Value guarded(const Napi::CallbackInfo& info) {
  try {
    return function(info);
  } catch (const std::bad_alloc&) {
    throw out_of_memory(info.Env());
  }
}

}  // namespace torchmap::addon
