#include "core/torch/text_numbers.h"

#include <cstring>

#include "core/hash.h"

namespace torchmap {
namespace {

constexpr size_t kFirstSlots = 256;

}  // namespace

TextNumbers::TextNumbers() : seed_(hash_seed()) { grow(); }

uint32_t TextNumbers::number_of(std::string_view text) {
  const uint64_t hash = hash_text(text, seed_);
  const auto tag = static_cast<uint32_t>(hash >> 32);
  const size_t mask = slots_.size() - 1;
  size_t at = hash & mask;
  for (; slots_[at].number != 0; at = (at + 1) & mask) {
    const Slot& slot = slots_[at];
    if (slot.tag == tag && texts_.at(slot.number - 1) == text) return slot.number - 1;
  }
  const auto number = static_cast<uint32_t>(texts_.size());
  texts_.text += text;
  texts_.ends.push(texts_.text.size());
  hashes_.push(hash);
  slots_[at] = {number + 1, tag};
  if (2 * texts_.size() > slots_.size()) grow();
  return number;
}

void TextNumbers::grow() {
  const size_t count = slots_.empty() ? kFirstSlots : 2 * slots_.size();
  slots_.truncate(0);
  slots_.make_room(count);
  std::memset(static_cast<void*>(slots_.data()), 0, count * sizeof(Slot));
  slots_.truncate(count);
  for (uint32_t number = 0; number < hashes_.size(); ++number) {
    size_t at = hashes_[number] & (count - 1);
    while (slots_[at].number != 0) at = (at + 1) & (count - 1);
    slots_[at] = {number + 1, static_cast<uint32_t>(hashes_[number] >> 32)};
  }
}

}  // namespace torchmap
