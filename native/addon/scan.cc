// Looking at what loading files with Python could do: at once, or on other threads.
#include "core/scan/scan.h"

#include "addon/entries.h"
#include "addon/promise_worker.h"
#include "addon/values.h"

namespace torchmap::addon {
namespace {

// Reports, as they are unpacked by lib/zoo/safety/report.ts, one behind the other. Numbers: whether
// there is one; of one globals, findings, whether dangerous, whether incomplete, globals and
// findings left out; of each global judgement, whether it is called, links of its chain, offset; of
// each finding the offset or -1. Strings: content, what else it is; of each global name, record,
// links; of each finding rule, message, record.
class Packer {
 public:
  void add(const ScanReport& report) {
    number(1);
    number(static_cast<double>(report.globals.size()));
    number(static_cast<double>(report.findings.size()));
    number(report.is_dangerous ? 1 : 0);
    number(report.is_incomplete ? 1 : 0);
    number(static_cast<double>(report.globals_dropped));
    number(static_cast<double>(report.findings_dropped));
    text(report.content);
    text(report.foreign);
    for (const ScannedGlobal& global : report.globals) {
      number(static_cast<double>(global.judgement));
      number(global.is_called ? 1 : 0);
      number(static_cast<double>(global.chain.size()));
      number(static_cast<double>(global.offset));
      text(global.name);
      text(global.record);
      for (const std::string& link : global.chain) text(link);
    }
    for (const ScanFinding& finding : report.findings) {
      number(finding.has_offset ? static_cast<double>(finding.offset) : -1);
      text(finding.rule);
      text(finding.message);
      text(finding.record);
    }
  }
  void add_failure() { number(0); }

  Napi::Object packed(Napi::Env env) const {
    Napi::Object result = Napi::Object::New(env);
    result["strings"] = packed_strings(env, strings_);
    result["numbers"] = reals(env, numbers_.data(), numbers_.size());
    return result;
  }

 private:
  void number(double value) { numbers_.push_back(value); }
  void text(std::string_view value) {
    strings_.text += value;
    strings_.ends.push(strings_.text.size());
  }

  Names strings_;
  std::vector<double> numbers_;
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

  Result<std::vector<Result<ScanReport>>> run() const {
    auto reports = scan_files(paths_, options_);
    if (options_.cancelled->load(std::memory_order_relaxed))
      return Status(Code::kCancelled, "the caller asked to stop");
    return reports;
  }

  // Besides, the failures in their order.
  static Napi::Object settle(Napi::Env env, std::vector<Result<ScanReport>> reports) {
    Packer packer;
    Napi::Array failures = Napi::Array::New(env);
    for (Result<ScanReport>& report : reports) {
      if (report.ok()) {
        packer.add(*report);
      } else {
        packer.add_failure();
        failures[failures.Length()] = failure(env, report.status()).Get("failure");
      }
    }
    Napi::Object result = packer.packed(env);
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
  Packer packer;
  if (info[0].IsString()) {
    auto report = scan_file(info[0].As<Napi::String>().Utf8Value(), options);
    if (!report.ok()) return failure(env, report.status());
    packer.add(*report);
  } else {
    SpanSource source(bytes_of(info[0]));
    const std::string name = info[1].IsString() ? info[1].As<Napi::String>().Utf8Value() : "";
    auto report = scan_source(source, name, options);
    if (!report.ok()) return failure(env, report.status());
    packer.add(*report);
  }
  return packer.packed(env);
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
