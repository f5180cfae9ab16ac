// Looking at what loading files with Python could do: at once, or on other threads.
#include "core/scan/scan.h"

#include "addon/entries.h"
#include "addon/promise_worker.h"
#include "addon/values.h"
#include "core/scan/text_numbers.h"

namespace torchmap::addon {
namespace {

// Reports, as they are unpacked by lib/zoo/safety/report.ts, one behind the other. Strings, each of
// them once, and numbers: whether there is a report; of one content and what else it is, globals,
// findings, whether dangerous, whether incomplete, globals and findings left out; of each global
// name, record, judgement, whether it is called, offset, links of its chain and these; of each
// finding rule, message, record, the offset or -1. Texts are numbers of strings.
class Packed {
 public:
  void add(const ScanReport& report) {
    number(1);
    text(report.content);
    text(report.foreign);
    number(static_cast<double>(report.globals.size()));
    number(static_cast<double>(report.findings.size()));
    number(report.is_dangerous ? 1 : 0);
    number(report.is_incomplete ? 1 : 0);
    number(static_cast<double>(report.globals_dropped));
    number(static_cast<double>(report.findings_dropped));
    numbers_of_texts_.truncate(0);
    for (size_t i = 0; i < report.texts.size(); ++i)
      numbers_of_texts_.push(texts_.number_of(report.texts.at(i)));
    for (const ScannedGlobal& global : report.globals) {
      number(numbers_of_texts_[global.name]);
      number(numbers_of_texts_[global.record]);
      number(static_cast<double>(global.judgement));
      number(global.is_called ? 1 : 0);
      number(static_cast<double>(global.offset));
      number(static_cast<double>(global.link_count));
      for (const uint32_t link : report.chain_of(global)) number(numbers_of_texts_[link]);
    }
    for (const ScanFinding& finding : report.findings) {
      text(finding.rule);
      text(finding.message);
      text(finding.record);
      number(finding.has_offset ? static_cast<double>(finding.offset) : -1);
    }
  }
  void add_failure() { number(0); }

  Napi::Object value(Napi::Env env) const {
    Napi::Object result = Napi::Object::New(env);
    result["strings"] = packed_strings(env, texts_.texts());
    result["numbers"] = reals(env, numbers_.data(), numbers_.size());
    return result;
  }

 private:
  void number(double value) { numbers_.push(value); }
  void text(std::string_view value) { number(texts_.number_of(value)); }

  TextNumbers texts_;
  Buffer<uint32_t> numbers_of_texts_;  // of the report that is being added
  Buffer<double> numbers_;
};

// Of many files, and the failures of those that have no report, in their order.
struct PackedFiles {
  Packed reports;
  std::vector<Status> failures;
};

ScanOptions options_of(const Napi::Value& limits) {
  ScanOptions options;
  // Looking up ten of them takes as long as decoding a small pickle.
  if (!limits.IsUndefined()) options.limits = limits_of(limits);
  return options;
}

class ScanWork {
 public:
  ScanWork(std::vector<std::string> paths, const ScanOptions& options)
      : paths_(std::move(paths)), options_(options) {}

  Result<PackedFiles> run() const {
    PackedFiles packed;
    for (Result<ScanReport>& report : scan_files(paths_, options_)) {
      if (report.ok()) {
        packed.reports.add(*report);
      } else {
        packed.reports.add_failure();
        packed.failures.push_back(std::move(report).status());
      }
    }
    if (options_.cancelled->load(std::memory_order_relaxed))
      return Status(Code::kCancelled, "the caller asked to stop");
    return packed;
  }

  static Napi::Object settle(Napi::Env env, const PackedFiles& packed) {
    Napi::Object result = packed.reports.value(env);
    Napi::Array failures = Napi::Array::New(env);
    for (const Status& status : packed.failures)
      failures[failures.Length()] = failure(env, status).Get("failure");
    result["failures"] = failures;
    return result;
  }

 private:
  std::vector<std::string> paths_;
  ScanOptions options_;
};

}  // namespace

// Of a path or of bytes, whose name may be given, before it returns.
Napi::Value scan_sync(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const ScanOptions options = options_of(info[2]);
  ScanRoom room;
  auto report = [&] {
    if (info[0].IsString()) return scan_file(info[0].As<Napi::String>().Utf8Value(), options, room);
    SpanSource source(bytes_of(info[0]));
    const std::string name = info[1].IsString() ? info[1].As<Napi::String>().Utf8Value() : "";
    return scan_source(source, name, options, room);
  }();
  if (!report.ok()) return failure(env, report.status());
  Packed packed;
  packed.add(*report);
  return packed.value(env);
}

Napi::Value scan_many(const Napi::CallbackInfo& info) {
  const auto given = info[0].As<Napi::Array>();
  std::vector<std::string> paths;
  for (uint32_t i = 0; i < given.Length(); ++i)
    paths.push_back(given.Get(i).As<Napi::String>().Utf8Value());
  ScanOptions options = options_of(info[1]);
  const auto control = info[2].As<Napi::BigUint64Array>();
  options.cancelled = reinterpret_cast<const std::atomic<bool>*>(control.Data());
  return PromiseWorker<ScanWork, Napi::BigUint64Array>::start(
      info.Env(), ScanWork(std::move(paths), options), control);
}

}  // namespace torchmap::addon
