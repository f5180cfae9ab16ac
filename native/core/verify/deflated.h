// Checks a deflated record against its CRC-32, which is one of what it inflates to.
#pragma once

#include "core/verify/archive.h"

namespace torchmap {

// Whether its sizes can be and are allowed; else it has a verdict and a fault.
bool is_inflatable(CheckedRecord& row, const Limits& limits);

// Inflates a record whose payload is known, without holding more of it than a part, and sets its
// CRC-32, or its verdict and fault. kIo, kFileChanged, kCancelled.
Status check_deflated(Source& source, const VerifyOptions& options, CheckedRecord& row);

}  // namespace torchmap
