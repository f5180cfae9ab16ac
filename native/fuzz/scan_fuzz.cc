// Any bytes as a file that is scanned: what the decoder sees in a pickle the scan has seen, too,
// and memory that was used before changes nothing.
#include <algorithm>

#include "core/pickle/decoder.h"
#include "core/scan/scan.h"
#include "fuzz/guarded.h"

using namespace torchmap;
using fuzz::require;

namespace {

ScanReport scanned(Source& source, ScanRoom& room) {
  ScanOptions options;
  options.limits = fuzz::small_limits();
  auto report = scan_source(source, "file", options, room);
  require(report.ok());
  require(report->globals.size() <= kMostGlobals && report->findings.size() <= kMostFindings);
  for (const ScanFinding& row : report->findings)
    require(!row.rule.empty() && !row.message.empty());
  return std::move(report).value();
}

bool are_equal(const ScanReport& a, const ScanReport& b) {
  const auto same_global = [](const ScannedGlobal& x, const ScannedGlobal& y) {
    return x.name == y.name && x.judgement == y.judgement && x.is_called == y.is_called &&
           x.first_link == y.first_link && x.link_count == y.link_count && x.record == y.record &&
           x.offset == y.offset;
  };
  const auto same_finding = [](const ScanFinding& x, const ScanFinding& y) {
    return x.rule == y.rule && x.message == y.message && x.record == y.record &&
           x.offset == y.offset;
  };
  return a.is_dangerous == b.is_dangerous && a.is_incomplete == b.is_incomplete &&
         a.content == b.content && a.texts.text == b.texts.text &&
         std::ranges::equal(a.texts.ends.span(0, a.texts.size()),
                            b.texts.ends.span(0, b.texts.size())) &&
         std::ranges::equal(a.links.span(0, a.links.size()), b.links.span(0, b.links.size())) &&
         std::equal(a.globals.begin(), a.globals.end(), b.globals.begin(), b.globals.end(),
                    same_global) &&
         std::equal(a.findings.begin(), a.findings.end(), b.findings.begin(), b.findings.end(),
                    same_finding);
}

// What stands at the start of the file for whoever loads it as a pickle.
void check_pickle(const fuzz::GuardedSource& source, const ScanReport& report) {
  Pool pool;
  const DecodeOptions options{fuzz::small_limits(), 0, nullptr};
  if (!decode_pickle(source.bytes(), pool, options).ok()) return;
  for (const GlobalName& global : pool.globals) {
    if (judge_global(global.module, global.name) == Judgement::kDangerous)
      require(report.is_dangerous || report.is_incomplete);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::GuardedSource source(data, size);
  ScanRoom room;
  const ScanReport first = scanned(source, room);
  require(are_equal(first, scanned(source, room)));
  check_pickle(source, first);
  return 0;
}
