// Names what a file is when it is no checkpoint, so that the error says what to do about it.
#pragma once

#include <string>

#include "core/bytes.h"

namespace torchmap {

// A phrase such as "a Git LFS pointer, not the file itself: run 'git lfs pull'" for a file of
// `size` bytes that starts with `head`, or empty when nothing is known about it. The more of the
// file's first bytes, the better; 4,096 tell all that is told. Never decides what is a checkpoint:
// ask only once every reader has refused.
std::string describe_foreign(ByteSpan head, uint64_t size);

// The same for what begins with the magic bytes of another format, and empty for all else.
std::string_view foreign_format(ByteSpan head);

// Of these, the ones that the core can unpack.
enum class Packing : uint8_t { kNone, kGzip, kZlib, kXz, kLzma, kSevenZip };
Packing packing_of(ByteSpan head);

}  // namespace torchmap
