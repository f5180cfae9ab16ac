// Giving back pages of a private mapping that were only read.
#pragma once

#include "core/bytes.h"

namespace torchmap {

// Takes the pages of `pages`, part of a private writable mapping of a file, out of this process's
// resident memory, all but those that were written to: the file has not what is in them. They come
// back when they are looked at. Where the system does not tell the two apart nothing is given back.
void drop_clean_pages(std::span<std::byte> pages);

}  // namespace torchmap
