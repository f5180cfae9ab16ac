// The caps of limits.def as a struct.
#pragma once

#include <cstdint>

namespace torchmap {

struct Limits {
#define LIMIT(member, js, value, reason) uint64_t member = value;
#include "core/limits.def"
#undef LIMIT
};

// Most decimal digits of an integer written as text; CPython's own cap (sys.int_info, 3.11),
// because turning digits into binary costs quadratic time.
inline constexpr uint64_t kMaxIntegerDigits = 4300;

// `limits.work` times `size`, which is in whatever unit the work is counted in.
inline uint64_t work_allowance(const Limits& limits, uint64_t size) {
  return size != 0 && limits.work > UINT64_MAX / size ? UINT64_MAX : limits.work * size;
}

}  // namespace torchmap
