// What loading a file with Python could do: every pickle in it is found and decoded, none is run.
#pragma once

#include <string>
#include <vector>

#include "core/scan/scanner.h"

namespace torchmap {

// Memory that scans of one thread use, one after another.
struct ScanRoom {
  std::vector<std::byte> bytes;
  PoolStock pools;
};

// Small files are read at once; of others what is looked at, by position: a file that shrinks is a
// failure. One whose name ends with .distcp is a series of archives. kIo, kFileChanged, kCancelled;
// all else is in the report.
Result<ScanReport> scan_source(Source& source, std::string_view name, const ScanOptions& options,
                               ScanRoom& room);

// The same of a file.
Result<ScanReport> scan_file(const std::string& path, const ScanOptions& options, ScanRoom& room);

// The same of many files, some at a time; in their order.
std::vector<Result<ScanReport>> scan_files(std::span<const std::string> paths,
                                           const ScanOptions& options);

}  // namespace torchmap
