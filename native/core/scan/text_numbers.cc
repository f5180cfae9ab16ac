#include "core/scan/text_numbers.h"

namespace torchmap {

TextNumbers::TextNumbers() : seed_(hash_seed()), room_(127) { slots_.prepare(room_); }

uint32_t TextNumbers::number_of(std::string_view text) {
  if (texts_.size() == room_) {
    room_ = 2 * room_ + 1;
    slots_.prepare(room_);
    for (uint32_t i = 0; i < hashes_.size(); ++i)
      slots_.find_or_put(hashes_[i], i, [](uint32_t) { return false; });
  }
  const uint64_t hash = hash_text(text, seed_);
  const auto fresh = static_cast<uint32_t>(texts_.size());
  const uint32_t number =
      slots_.find_or_put(hash, fresh, [&](uint32_t known) { return texts_.at(known) == text; });
  if (number == fresh) {
    texts_.text += text;
    texts_.ends.push(texts_.text.size());
    hashes_.push(hash);
  }
  return number;
}

}  // namespace torchmap
