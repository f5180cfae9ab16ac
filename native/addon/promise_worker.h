// Work on a thread of libuv's pool, whose result a promise is resolved with.
#pragma once

#include <atomic>
#include <optional>

#include "addon/guard.h"
#include "addon/values.h"

namespace torchmap::addon {

// A promise of what is known by now.
inline Napi::Promise resolved(Napi::Env env, Napi::Value value) {
  const Napi::Promise::Deferred deferred(env);
  deferred.Resolve(value);
  return deferred.Promise();
}
inline Napi::Promise refused(Napi::Env env, const Status& status) {
  return resolved(env, failure(env, status));
}

// What JavaScript and the work share while it runs: [0] of `control` is set to stop it, [1] counts
// the bytes that are done. `options` has `cancelled` and `done`.
template <typename Options>
void share_control(Napi::BigUint64Array control, Options& options) {
  static_assert(sizeof(std::atomic<bool>) == 1 && sizeof(std::atomic<uint64_t>) == 8);
  options.cancelled = reinterpret_cast<const std::atomic<bool>*>(control.Data());
  options.done = reinterpret_cast<std::atomic<uint64_t>*>(control.Data() + 1);
}

// `Work` is made on the main thread; its run() gives a Result on another one, where no JavaScript
// may be touched. Its settle(env, value) makes the JavaScript value of a success. `Held` is what
// the work points into.
template <typename Work, typename Held>
class PromiseWorker final : public Napi::AsyncWorker {
 public:
  static Napi::Promise start(Napi::Env env, Work work, Held held) {
    auto worker = std::make_unique<PromiseWorker>(env, std::move(work), std::move(held));
    const Napi::Promise promise = worker->deferred_.Promise();
    worker.release()->Queue();
    return promise;
  }

  PromiseWorker(Napi::Env env, Work work, Held held)
      : Napi::AsyncWorker(env),
        deferred_(env),
        work_(std::move(work)),
        held_(Napi::Persistent(held)) {}

 protected:
  void Execute() override {
    try {
      result_.emplace(work_.run());
    } catch (const std::bad_alloc&) {
      SetError("there is not enough memory");
    }
  }
  // Nothing may be thrown out of here: a worker thread that is being terminated refuses every call.
  void OnOK() override {
    const Napi::HandleScope scope(Env());
    try {
      deferred_.Resolve(result_->ok() ? Work::settle(Env(), std::move(*result_).value())
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
  Work work_;
  Napi::Reference<Held> held_;
  std::optional<decltype(std::declval<Work&>().run())> result_;
};

}  // namespace torchmap::addon
