// Texts that are told apart, each of them once, by numbers from 0 on.
#pragma once

#include "core/slot_table.h"
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
  const uint64_t seed_;
  Names texts_;
  Buffer<uint64_t> hashes_;  // of all texts
  size_t room_;              // texts that there are slots for
  SlotTable slots_;
};

}  // namespace torchmap
