// Part of another source as a source of its own: an archive inside a record of another archive.
#pragma once

#include "core/source/source.h"

namespace torchmap {

// Bytes [offset, offset + length) of `base`, which must have them. Offsets, also those in failures,
// count from the start of the part. The pages belong to `base`: only that can be unmapped.
std::shared_ptr<Source> slice_source(std::shared_ptr<Source> base, uint64_t offset,
                                     uint64_t length);

}  // namespace torchmap
