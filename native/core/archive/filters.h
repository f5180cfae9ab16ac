// What compressors do to bytes so that they become smaller, undone in place. xz and 7-Zip give them
// the same ids. Facts: Bra86.c, Delta.c and Methods.txt of Igor Pavlov's LZMA SDK; section 5.3 of
// xz-file-format.txt.
#pragma once

#include "core/bytes.h"

namespace torchmap {

// What a filter is called; nothing for what has no id here.
const char* filter_name(uint64_t id);
// Whether it can be undone.
bool is_filter(uint64_t id, ByteSpan properties);
// Of one that is.
void undo_filter(uint64_t id, ByteSpan properties, std::span<std::byte> bytes);

// Each byte is the difference to the one `distance` bytes before.
void undo_delta(std::span<std::byte> bytes, size_t distance);
// Calls and jumps of x86 lead to places from the start of the bytes, not from themselves.
void undo_x86(std::span<std::byte> bytes);

}  // namespace torchmap
