// Memory that nothing was written to yet costs more than what is done to it: the system clears and
// maps page after page when they are first written.
#pragma once

#include <cstddef>
#include <span>

namespace torchmap {

// Says that all of `target` will be written, so that the system may use large pages for it where
// it has none yet. Changes no byte, and nothing at all where it is small or the system cannot.
void expect_writes(std::span<std::byte> target);

// Has the system give `target`, which will be written and may have been in part, its pages now, so
// that another thread finds them there. Changes no byte, and nothing at all where the system
// cannot.
void populate(std::span<std::byte> target);

}  // namespace torchmap
