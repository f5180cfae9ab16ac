// What loading a file with Python could do: every pickle in it is found and decoded, none is run.
#pragma once

#include "core/scan/scanner.h"

namespace torchmap {

// Small files are read at once; of others what is looked at, by position: a file that shrinks is a
// failure. kIo, kFileChanged, kCancelled; all else is in the report. Deflated records that are not
// in `options.inflated` are listed in it: inflate them and call again.
Result<ScanReport> scan_source(Source& source, const ScanOptions& options);

// The same of nothing but `options.inflated`, records of an archive that was looked at before.
Result<ScanReport> scan_inflated(const ScanOptions& options);

}  // namespace torchmap
