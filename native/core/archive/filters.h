// What compressors do to bytes so that they become smaller, undone in place. Facts: Bra86.c and
// Delta.c of Igor Pavlov's LZMA SDK.
#pragma once

#include "core/bytes.h"

namespace torchmap {

// Each byte is the difference to the one `distance` bytes before.
void undo_delta(std::span<std::byte> bytes, size_t distance);
// Calls and jumps of x86 lead to places from the start of the bytes, not from themselves.
void undo_x86(std::span<std::byte> bytes);

}  // namespace torchmap
