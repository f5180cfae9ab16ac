// Looking at what loading files with Python could do: at once, or on other threads.
#include "core/scan/scan.h"

#include <unordered_map>

#include "addon/entries.h"
#include "addon/promise_worker.h"
#include "addon/values.h"
#include "core/hash.h"

namespace torchmap::addon {
namespace {

// Reports, as they are unpacked by lib/zoo/safety/report.ts, one behind the other. Strings, each of
// them once, and numbers: whether there is a report; of one content and what else it is, globals,
// findings, whether dangerous, whether incomplete, globals and findings left out; of each global
// name, record, judgement, whether it is called, offset, links of its chain and these; of each
// finding rule, message, record, the offset or -1. Texts are numbers of strings.
class Packer {
 public:
  // The report must live until everything is packed.
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
    for (const ScannedGlobal& global : report.globals) {
      text(global.name);
      text(global.record);
      number(static_cast<double>(global.judgement));
      number(global.is_called ? 1 : 0);
      number(static_cast<double>(global.offset));
      number(static_cast<double>(global.chain.size()));
      for (const std::string& link : global.chain) text(link);
    }
    for (const ScanFinding& finding : report.findings) {
      text(finding.rule);
      text(finding.message);
      text(finding.record);
      number(finding.has_offset ? static_cast<double>(finding.offset) : -1);
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
    const auto [known, fresh] = indexes_.try_emplace(value, indexes_.size());
    if (fresh) {
      strings_.text += value;
      strings_.ends.push(strings_.text.size());
    }
    number(static_cast<double>(known->second));
  }

  Names strings_;
  std::unordered_map<std::string_view, size_t, SeededHash> indexes_;
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
  ScanRoom room;
  auto report = [&] {
    if (info[0].IsString()) return scan_file(info[0].As<Napi::String>().Utf8Value(), options, room);
    SpanSource source(bytes_of(info[0]));
    const std::string name = info[1].IsString() ? info[1].As<Napi::String>().Utf8Value() : "";
    return scan_source(source, name, options, room);
  }();
  if (!report.ok()) return failure(env, report.status());
  Packer packer;
  packer.add(*report);
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
