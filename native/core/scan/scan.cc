#include "core/scan/scan.h"

namespace torchmap {
namespace {

// Up to here one read of the whole costs less than several of its parts.
constexpr uint64_t kSmall = uint64_t{1} << 20;

}  // namespace

Result<ScanReport> scan_source(Source& source, const ScanOptions& options) {
  ScanReport report;
  Scanner scanner(options, report);
  if (source.size() > kSmall) {
    TRY(scanner.scan(source, {}));
  } else {
    const auto size = static_cast<size_t>(source.size());
    const std::unique_ptr<std::byte[]> bytes(new std::byte[size]);
    TRY(source.read(0, {bytes.get(), size}));
    SpanSource small({bytes.get(), size});
    TRY(scanner.scan(small, {}));
  }
  return report;
}

Result<ScanReport> scan_inflated(const ScanOptions& options) {
  ScanReport report;
  Scanner scanner(options, report);
  for (const InflatedRecord& record : options.inflated) {
    if (record.bytes.empty()) continue;
    SpanSource bytes(record.bytes);
    PicklePlace place;
    place.record = record.name;
    place.in_file = false;
    place.depth = 1;
    TRY(scanner.scan_record(bytes, place, record.name, 0));
  }
  return report;
}

}  // namespace torchmap
