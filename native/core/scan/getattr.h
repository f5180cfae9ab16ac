// getattr, by which protocols before 4 name members of classes and methods of objects.
#pragma once

#include "core/scan/calls.h"

namespace torchmap {

// The global of getattr where every call of it is plain: of a class or an object, by a name that is
// a text and leads to nothing dangerous, for something that is kept, not called and not changed;
// and where nobody else is given it to call. Else Calls::kNobody.
uint32_t plain_getattr(const Pool& pool, const Calls& calls);

}  // namespace torchmap
