// Pages of memory for bytes that come from elsewhere.
#include "addon/entries.h"
#include "addon/promise_worker.h"
#include "addon/values.h"
#include "core/kernels/fresh_pages.h"

namespace torchmap::addon {
namespace {

class Populating {
 public:
  explicit Populating(std::vector<std::span<std::byte>> targets) : targets_(std::move(targets)) {}

  Result<bool> run() {
    for (const std::span<std::byte> target : targets_) populate(target);
    return true;
  }

  static Napi::Object settle(Napi::Env env, bool /*done*/) { return Napi::Object::New(env); }

 private:
  std::vector<std::span<std::byte>> targets_;
};

}  // namespace

// Has pages of arrays given on another thread, before somebody waits for them.
Napi::Value populate_arrays(const Napi::CallbackInfo& info) {
  const auto arrays = info[0].As<Napi::Array>();
  std::vector<std::span<std::byte>> targets;
  for (uint32_t i = 0; i < arrays.Length(); ++i) targets.push_back(bytes_of(arrays.Get(i)));
  return PromiseWorker<Populating, Napi::Array>::start(info.Env(), Populating(std::move(targets)),
                                                       arrays);
}

}  // namespace torchmap::addon
