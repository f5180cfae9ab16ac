// Whether a tape is well formed: every value whole, every number of something there.
#pragma once

#include <string>

#include "core/torch/catalog.h"
#include "core/torch/tape.h"

namespace torchmap::check {

class TapeCheck {
 public:
  TapeCheck(const Tape& tape, const Catalog& catalog) : tape_(tape), catalog_(catalog) {}

  // Empty when all is well, else what is wrong first.
  std::string run() {
    uint32_t end = 0;
    for (uint32_t text_end : tape_.text_ends) {
      need(text_end >= end, "the ends of strings");
      end = text_end;
    }
    need(end == tape_.text.size(), "the end of the last string");
    while (problem_.empty() && at_ < tape_.words.size()) {
      value();
      ++values_;
    }
    need(tape_.root < values_, "the root");
    need(highest_ < values_, "a value's number");
    return problem_;
  }
  uint64_t values() const { return values_; }

 private:
  void need(bool holds, const char* what) {
    if (!holds && problem_.empty())
      problem_ = std::string("bad: ") + what + " before word " + std::to_string(at_);
  }
  uint32_t word() {
    need(at_ < tape_.words.size(), "the length");
    return problem_.empty() ? tape_.words[at_++] : 0;
  }
  void below(uint64_t size, const char* what) { need(word() < size, what); }
  void reference() {
    const uint32_t number = word();
    if (number > highest_) highest_ = number;
  }
  void references(uint64_t each) {
    for (uint64_t n = each * word(); n > 0 && problem_.empty(); --n) reference();
  }
  void optional_reference() {
    const uint32_t number = word();
    if (number > highest_ + 1) highest_ = number - 1;
  }
  void bytes() {
    const uint32_t offset = word(), length = word();
    need(fits(offset, length, tape_.bytes.size()), "bytes");
  }

  void value() {
    switch (word()) {
      case 0:
      case 1:
      case 2:
        return;
      case 3:
        word();
        word();
        return;
      case 4:
      case 6:
        return below(tape_.text_ends.size(), "a string");
      case 5:
        return below(tape_.reals.size(), "a real");
      case 7:
        return bytes();
      case 8:
      case 9:
        return references(1);
      case 10:
        return references(2);
      case 11:
        below(tape_.text_ends.size(), "a module");
        return below(tape_.text_ends.size(), "a name");
      case 12: {
        if (tape_.words[at_] == kNoIndex) {
          word();
        } else {
          reference();
        }
        if (word() != 0) {
          reference();
        } else {
          word();
        }
        references(1);
        references(1);
        references(2);
        return optional_reference();
      }
      case 13:
        return below(catalog_.tensors.size(), "a tensor");
      case 14:
        need(uint64_t{word()} + 1 < tape_.reals.size(), "a complex number");
        return;
      case 15: {
        below(tape_.text_ends.size(), "a dtype");
        const uint32_t row = word();
        need(row == kNoIndex || row < catalog_.tensors.size(), "the row of an array");
        for (uint64_t n = uint64_t{2} * word(); n > 0 && problem_.empty(); --n) word();
        below(2, "the order of an array");
        bytes();
        return optional_reference();
      }
      case 16:
        return below(catalog_.storages.size(), "a storage");
      default:
        need(false, "a type");
    }
  }

  const Tape& tape_;
  const Catalog& catalog_;
  size_t at_ = 0;
  uint64_t values_ = 0;
  uint32_t highest_ = 0;
  std::string problem_;
};

inline std::string problem_of(const Tape& tape, const Catalog& catalog) {
  return TapeCheck(tape, catalog).run();
}

}  // namespace torchmap::check
