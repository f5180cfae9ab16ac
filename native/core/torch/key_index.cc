#include "core/torch/key_index.h"

#include <bit>

#include "core/hash.h"

namespace torchmap {
namespace {

// Text of this length counts as one more step of work.
constexpr size_t kBytesPerStep = 64;

}  // namespace

KeyIndex::KeyIndex(const Pool& pool) : pool_(pool), seed_(hash_seed()) {}

void KeyIndex::clear(size_t count) {
  keys_.truncate(0);
  slots_.assign(std::bit_ceil(2 * (count + 4)), Slot{});
}

uint32_t KeyIndex::add(NodeId key, uint64_t& work) {
  const auto fresh = static_cast<uint32_t>(keys_.size());
  if (slots_.size() < 2 * (keys_.size() + 1)) {
    slots_.assign(2 * slots_.size(), Slot{});
    for (uint32_t i = 0; i < fresh; ++i) slot_of(keys_[i], work).number = i + 1;
  }
  Slot& slot = slot_of(key, work);
  if (slot.number != 0) return slot.number - 1;
  slot.number = fresh + 1;
  keys_.push(key);
  return fresh;
}

uint64_t KeyIndex::hash(NodeId key, uint64_t& work) const {
  key = pool_.target(key);
  const Node& node = pool_[key];
  if (node.tag == Tag::kStr) {
    work += node.text().size() / kBytesPerStep;
    return hash_text(node.text(), seed_);
  }
  if (node.tag == Tag::kInt) return hash_mix(1, static_cast<uint64_t>(node.integer), seed_);
  return hash_mix(2, key, seed_);
}

bool KeyIndex::equal(NodeId a, NodeId b) const {
  const Node &left = pool_[pool_.target(a)], &right = pool_[pool_.target(b)];
  if (left.tag != right.tag) return false;
  if (left.tag == Tag::kStr) return left.text() == right.text();
  if (left.tag == Tag::kInt) return left.integer == right.integer;
  return pool_.target(a) == pool_.target(b);
}

// The slot of an equal key, or a free one that now has the key's tag.
KeyIndex::Slot& KeyIndex::slot_of(NodeId key, uint64_t& work) {
  const uint64_t hashed = hash(key, work);
  const auto tag = static_cast<uint32_t>(hashed >> 32);
  for (auto at = static_cast<size_t>(hashed);; ++at) {
    Slot& slot = slots_[at & (slots_.size() - 1)];
    if (slot.number == 0) slot.tag = tag;
    if (slot.number == 0 || (slot.tag == tag && equal(keys_[slot.number - 1], key))) return slot;
  }
}

}  // namespace torchmap
