// The decoded root as flat tables that JavaScript can rebuild in two passes without recursion:
// first an empty object for every value, then their contents. Sharing and cycles survive, because
// values refer to each other by number. Read by lib/tape.ts; the two must change together.
//
// `words` holds one value after the other; value numbers count them. Each begins with its type:
//   0 none                          1 false                       2 true
//   3 int      low, high (two's complement 64 bits)
//   4 bigint   string               (decimal digits, or "0x" and hexadecimal ones, '-' in front
//   when negative) 5 float    index into reals 6 str      string 7 bytes    offset, length (into
//   bytes) 8 list     n, values...         (lists, tuples, torch.Size) 9 set      n, values...
//  10 dict     n, (key, value)...
//  11 global   module, name         (strings)
//  12 object   global (value), has_args, args (value), state count, states..., items count,
//  items...,
//              entry count, (key, value)..., kwargs (value + 1, or 0)     items and entries as in 8
//              and 10; global is 2^32-1 for a persistent id, whose only argument is the id
//  13 tensor   row
//  14 complex  index into reals (two)
//  15 array    dtype (string), tensor row or 2^32-1, ndim, sizes as pairs low, high..., fortran,
//              offset, length (raw bytes when there is no row), objects (value + 1, or 0)
//  16 storage  storage
// Strings are indexes into `strings`.
#pragma once

#include <string>
#include <vector>

#include "core/torch/interpreter.h"

namespace torchmap {

struct Tape {
  std::vector<uint32_t> words;
  std::vector<double> reals;
  std::u16string text;              // all strings, one behind the other
  std::vector<uint32_t> text_ends;  // UTF-16 units
  std::string bytes;
  uint32_t root = 0;  // number of the root's value
};

// Values that cannot be resolved become plain objects: the walk has reported them.
Result<Tape> make_tape(Interpreter& interpreter, NodeId root);

// The upper levels of the same, for what a checkpoint is rather than what is in it. Lists and dicts
// kOutlineDepth levels down are empty, others have at most kOutlineTensors tensors and
// kOutlineItems other values; byte strings and arrays have no bytes, objects kOutlineDepth levels
// down their class only. Arguments and attributes are as far down as the object they belong to.
inline constexpr uint32_t kOutlineDepth = 3;
inline constexpr uint32_t kOutlineTensors = 64;
inline constexpr uint32_t kOutlineItems = 4096;
Result<Tape> make_outline(Interpreter& interpreter, NodeId root);

}  // namespace torchmap
