// Looking at what loading a file with Python could do: at once, or on a thread of libuv's pool.
#include "core/scan/scan.h"

#include "addon/entries.h"
#include "addon/promise_worker.h"
#include "addon/values.h"

namespace torchmap::addon {
namespace {

struct ScanWork {
  std::string path;
  ByteSpan bytes;  // instead of a path
  ScanOptions options;
  bool only_inflated = false;
  std::vector<std::string> names, inflated;

  Result<ScanReport> run() const {
    std::vector<InflatedRecord> records;
    for (size_t i = 0; i < names.size(); ++i) records.push_back({names[i], as_bytes(inflated[i])});
    ScanOptions all = options;
    all.inflated = records;
    if (only_inflated) return scan_inflated(all);
    if (path.empty()) {
      SpanSource source(bytes);
      return scan_source(source, all);
    }
    // Read, not mapped: a file that shrinks meanwhile ends the scan and not the process.
    TRY_ASSIGN(const std::shared_ptr<Source> source, open_file(path, {false}));
    TRY_ASSIGN(ScanReport report, scan_source(*source, all));
    TRY(source->check_unchanged());
    return report;
  }
  static Napi::Object settle(Napi::Env env, const ScanReport& report);
};

// Numbers: globals, findings, deflated records, whether dangerous, whether incomplete, globals and
// findings left out; of each global judgement, whether it is called, links of its chain, offset;
// of each finding the offset or -1; of each deflated record offset, stored size, size.
// Strings: content, what else it is; of each global name, record, links; of each finding rule,
// message, record; of each deflated record its name.
Napi::Object ScanWork::settle(Napi::Env env, const ScanReport& report) {
  Names strings;
  const auto add = [&](std::string_view text) {
    strings.text += text;
    strings.ends.push(strings.text.size());
  };
  std::vector<double> numbers{static_cast<double>(report.globals.size()),
                              static_cast<double>(report.findings.size()),
                              static_cast<double>(report.deflated.size()),
                              report.is_dangerous ? 1.0 : 0.0,
                              report.is_incomplete ? 1.0 : 0.0,
                              static_cast<double>(report.globals_dropped),
                              static_cast<double>(report.findings_dropped)};
  const auto number = [&](double value) { numbers.push_back(value); };
  add(report.content);
  add(report.foreign);
  for (const ScannedGlobal& global : report.globals) {
    number(static_cast<double>(global.judgement));
    number(global.is_called ? 1 : 0);
    number(static_cast<double>(global.chain.size()));
    number(static_cast<double>(global.offset));
    add(global.name);
    add(global.record);
    for (const std::string& link : global.chain) add(link);
  }
  for (const ScanFinding& finding : report.findings) {
    number(finding.has_offset ? static_cast<double>(finding.offset) : -1);
    add(finding.rule);
    add(finding.message);
    add(finding.record);
  }
  for (const DeflatedRecord& record : report.deflated) {
    number(static_cast<double>(record.offset));
    number(static_cast<double>(record.stored_size));
    number(static_cast<double>(record.size));
    add(record.name);
  }
  Napi::Object result = Napi::Object::New(env);
  result["strings"] = packed_strings(env, strings);
  result["numbers"] = reals(env, numbers.data(), numbers.size());
  return result;
}

ScanWork read_scan(const Napi::CallbackInfo& info) {
  ScanWork work;
  if (info[0].IsString()) {
    work.path = info[0].As<Napi::String>().Utf8Value();
  } else {
    work.bytes = bytes_of(info[0]);
  }
  const auto options = info[1].As<Napi::Object>();
  // Looking up ten of them takes as long as decoding a small pickle.
  const Napi::Value limits = options.Get("limits");
  if (!limits.IsUndefined()) work.options.limits = limits_of(limits);
  work.options.series = options.Get("series").ToBoolean();
  work.only_inflated = options.Get("onlyInflated").ToBoolean();
  const auto inflated = info[2].As<Napi::Array>();
  for (uint32_t i = 0; i < inflated.Length(); ++i) {
    const auto record = inflated.Get(i).As<Napi::Object>();
    work.names.push_back(record.Get("name").As<Napi::String>().Utf8Value());
    work.inflated.emplace_back(as_text(bytes_of(record.Get("bytes"))));
  }
  return work;
}

}  // namespace

Napi::Value scan_sync(const Napi::CallbackInfo& info) {
  auto report = read_scan(info).run();
  return report.ok() ? ScanWork::settle(info.Env(), *report) : failure(info.Env(), report.status());
}

Napi::Value scan_async(const Napi::CallbackInfo& info) {
  ScanWork work = read_scan(info);
  const auto control = info[3].As<Napi::BigUint64Array>();
  work.options.cancelled = reinterpret_cast<const std::atomic<bool>*>(control.Data());
  return PromiseWorker<ScanWork, Napi::BigUint64Array>::start(info.Env(), std::move(work), control);
}

}  // namespace torchmap::addon
