#include "core/torch/key_index.h"

#include "core/slot_table.h"

namespace torchmap {
namespace {

// Text of this length counts as one more step of work.
constexpr size_t kBytesPerStep = 64;

}  // namespace

KeyIndex::KeyIndex(const Pool& pool) : pool_(pool), seed_(hash_seed()) {}

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

std::vector<uint32_t> KeyIndex::first_places(std::span<const NodeId> keys, uint64_t& work) const {
  SlotTable slots;  // of positions
  slots.prepare(keys.size());
  std::vector<uint32_t> places;
  places.reserve(keys.size());
  for (uint32_t i = 0; i < keys.size(); ++i) {
    const auto is_same = [&](uint32_t other) { return equal(keys[other], keys[i]); };
    places.push_back(slots.find_or_put(hash(keys[i], work), i, is_same));
  }
  return places;
}

}  // namespace torchmap
