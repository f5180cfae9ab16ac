// What all elements of a tensor say, or those of two, at once or on a thread of libuv's pool.
#include "core/survey.h"

#include "addon/entries.h"
#include "addon/handle.h"
#include "addon/promise_worker.h"
#include "addon/values.h"

namespace torchmap::addon {
namespace {

// Steps of a histogram; each thread counts them for itself.
constexpr uint64_t kMostBins = uint64_t{1} << 16;

// NativeElements of lib/binding.ts.
Result<Elements> read_elements(const Napi::Value& value, uint64_t count) {
  const Napi::Env env = value.Env();
  const auto object = value.As<Napi::Object>();
  const Napi::Value from = object.Get("from");
  const uint64_t start = integer_of(object.Get("start"));
  Elements elements;
  elements.dtype = dtype_of(object.Get("dtype"));
  elements.count = count;
  if (!has_statistics(elements.dtype)) throw Napi::RangeError::New(env, "not for these elements");
  const uint64_t bytes = product_of(env, count, torchmap::info(elements.dtype).bytes);
  if (from.IsArrayBuffer() || from.IsTypedArray()) {
    elements.memory = range_of(from, start, bytes);
    return elements;
  }
  Session& session = unwrap(from);
  if (!session.checkpoint) return Status(Code::kClosed, "the checkpoint is closed");
  elements.reader = session.checkpoint->source().reader();
  if (!elements.reader) return Status(Code::kClosed, "the checkpoint is closed");
  const auto storage = static_cast<uint32_t>(integer_of(object.Get("storage")));
  TRY_ASSIGN(const uint64_t place, file_place(*session.checkpoint, storage, start, start + bytes));
  elements.offset = place;
  return elements;
}

struct SurveyWork {
  Elements elements;
  uint32_t bins = 0;
  SurveyOptions options;

  Result<Survey> run() const { return survey(elements, bins, options); }

  // NativeStatistics of lib/binding.ts.
  static Napi::Object settle(Napi::Env env, const Survey& found) {
    const Statistics& row = found.statistics;
    const double columns[] = {row.min,
                              row.max,
                              row.mean(),
                              static_cast<double>(row.nan),
                              static_cast<double>(row.infinite),
                              static_cast<double>(row.zero),
                              static_cast<double>(row.finite)};
    const std::vector<double> counts(found.histogram.begin(), found.histogram.end());
    Napi::Object result = Napi::Object::New(env);
    result["row"] = reals(env, columns, std::size(columns));
    result["histogram"] = reals(env, counts.data(), counts.size());
    return result;
  }
};

struct CompareWork {
  Elements a, b;
  double tolerance = 0;
  SurveyOptions options;

  Result<Difference> run() const { return compare(a, b, tolerance, options); }

  // NativeDifference of lib/binding.ts.
  static Napi::Object settle(Napi::Env env, const Difference& found) {
    Napi::Object result = Napi::Object::New(env);
    result["differing"] = static_cast<double>(found.differing);
    result["notFinite"] = static_cast<double>(found.not_finite);
    result["absolute"] = found.absolute;
    result["relative"] = found.relative;
    return result;
  }
};

Result<SurveyWork> read_survey(const Napi::CallbackInfo& info) {
  SurveyWork work;
  TRY_ASSIGN(work.elements, read_elements(info[0], integer_of(info[1])));
  work.bins = static_cast<uint32_t>(std::min(integer_of(info[2]), kMostBins));
  return work;
}

Result<CompareWork> read_compare(const Napi::CallbackInfo& info) {
  CompareWork work;
  TRY_ASSIGN(work.a, read_elements(info[0], integer_of(info[2])));
  TRY_ASSIGN(work.b, read_elements(info[1], integer_of(info[2])));
  work.tolerance = info[3].As<Napi::Number>().DoubleValue();
  return work;
}

// With a last argument the work is done by another thread, and shared with that.
template <typename Work>
Napi::Value start(const Napi::CallbackInfo& info, Result<Work> work, const Napi::Value& shared) {
  const Napi::Env env = info.Env();
  if (!shared.IsTypedArray()) {
    if (!work.ok()) return failure(env, work.status());
    auto found = work->run();
    return found.ok() ? Work::settle(env, *found) : failure(env, found.status());
  }
  if (!work.ok()) return refused(env, work.status());
  const auto control = shared.As<Napi::BigUint64Array>();
  share_control(control, work->options);
  const Napi::Object held = Napi::Object::New(env);
  held["control"] = control;
  held["a"] = info[0];
  held["b"] = info[1];
  return PromiseWorker<Work, Napi::Object>::start(env, std::move(work).value(), held);
}

}  // namespace

Napi::Value survey_elements(const Napi::CallbackInfo& info) {
  return start(info, read_survey(info), info[3]);
}

Napi::Value compare_elements(const Napi::CallbackInfo& info) {
  return start(info, read_compare(info), info[4]);
}

}  // namespace torchmap::addon
