#include "core/scan/report.h"

#include "core/pickle/decoder.h"

namespace torchmap {

bool is_computed(const GlobalName& global) {
  return global.module == kComputedModule && global.name == kComputedName;
}

std::string shown_name(const GlobalName& global) {
  if (is_computed(global)) return std::string(kComputedName);
  constexpr size_t kMost = 200;
  std::string name(global.module);
  name += '.';
  name += global.name;
  if (name.size() <= kMost) return name;
  size_t end = kMost;
  while (end > 0 && (static_cast<uint8_t>(name[end]) & 0xC0) == 0x80) --end;  // whole characters
  name.resize(end);
  return name + "...";
}

uint32_t ScanReport::add_name(const GlobalName& global) {
  if (is_computed(global)) return add_text(kComputedName);
  texts.text += global.module;
  texts.text += '.';
  return add_text(global.name);
}

uint32_t ScanReport::add_text(std::string_view text) {
  texts.text += text;
  texts.ends.push(texts.text.size());
  return static_cast<uint32_t>(texts.size() - 1);
}

void add_finding(ScanReport& report, std::string_view rule, std::string message,
                 const PicklePlace& place, uint64_t offset) {
  if (report.findings.size() >= kMostFindings) {
    ++report.findings_dropped;
    return;
  }
  report.findings.push_back(
      {rule, std::move(message), place.record, place.base + offset, place.in_file});
}

}  // namespace torchmap
