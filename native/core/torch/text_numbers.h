// Texts that are told apart, each of them once, by numbers from 0 on.
#pragma once

#include "core/torch/names.h"

namespace torchmap {

class TextNumbers {
 public:
  TextNumbers();

  // The number of a text, which is copied where it is new.
  uint32_t number_of(std::string_view text);

  // All of them, in the order of their numbers; they stand for no tensors.
  const Names& texts() const { return texts_; }

 private:
  struct Slot {
    uint32_t number;  // of a text, plus 1; 0 is a free slot
    uint32_t tag;     // the half of the hash that does not choose the slot
  };

  void grow();

  const uint64_t seed_;
  Names texts_;
  Buffer<uint64_t> hashes_;  // of all texts
  Buffer<Slot> slots_;       // a power of two, at most half of them in use
};

}  // namespace torchmap
