// Looks at what stands in front of a record's bytes.
#pragma once

#include "core/verify/archive.h"

namespace torchmap {

// Everything about a record but its bytes: where they are, and the verdict of those that are not
// read. `source` has its local header.
Status check_local_header(Source& source, const ZipArchive& archive, uint32_t index,
                          CheckedRecord& row);

}  // namespace torchmap
