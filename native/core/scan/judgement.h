// What may be thought of a class or function that a pickle names. Nothing is imported or looked for
// outside the tables here.
#pragma once

#include "core/pickle/nodes.h"

namespace torchmap {

enum class Judgement : uint8_t { kSafe, kUnknown, kDangerous };

// Safe names are matched exactly. Dangerous are what the table has and all below it, whichever part
// of the path stands in the module and which in the name; names that lead through such a module or
// through an attribute of Python's own; and names that are themselves modules, through which
// anything can be reached. Python 2's spelling counts as Python 3's.
Judgement judge_global(std::string_view module, std::string_view name);

}  // namespace torchmap
