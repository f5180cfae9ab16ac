// Names that lead to tensors, packed into one text.
#pragma once

#include <string>
#include <string_view>

#include "core/pickle/buffer.h"

namespace torchmap {

struct Names {
  std::string text;          // all names, one behind the other
  Buffer<uint64_t> ends;     // byte offset of each name's end in text
  Buffer<uint32_t> tensors;  // the tensor each name stands for

  size_t size() const { return ends.size(); }
  std::string_view at(size_t i) const {
    const uint64_t begin = i == 0 ? 0 : ends[i - 1];
    return std::string_view(text).substr(begin, ends[i] - begin);
  }

  // Makes room for so many.
  void expect(size_t count);

  // Whether it is known that no two names are the same in UTF-16. Names that are not ASCII may
  // differ in bytes alone: then nothing is known.
  bool are_distinct() const;
};

}  // namespace torchmap
