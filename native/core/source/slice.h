// A part of another source, seen as a file of its own.
#pragma once

#include "core/source/source.h"

namespace torchmap {

// Bytes [offset, offset + length) of `base`, which stays open as long as the slice lives; giving
// the slice's pages back leaves the base alone. Offsets, in failures too, count from its start.
// kTruncated when the base is shorter.
Result<std::shared_ptr<Source>> slice_source(std::shared_ptr<Source> base, uint64_t offset,
                                             uint64_t length);

}  // namespace torchmap
