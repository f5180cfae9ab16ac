// Finds the keys that a dict is given twice. Strings and integers are equal by value, all others by
// node.
#pragma once

#include <span>

#include "core/pickle/nodes.h"
#include "core/slot_table.h"

namespace torchmap {

class KeyIndex {
 public:
  explicit KeyIndex(const Pool& pool);

  // For each key the position of the first one that is equal to it, mostly its own; valid until the
  // next call. Adds to `work` what looking at their text costs.
  std::span<const uint32_t> first_places(std::span<const NodeId> keys, uint64_t& work);

 private:
  uint64_t hash(NodeId key, uint64_t& work) const;
  bool equal(NodeId a, NodeId b) const;

  const Pool& pool_;
  const uint64_t seed_;
  Buffer<uint64_t> hashes_;
  SlotTable slots_;  // of positions
  Buffer<uint32_t> places_;
};

}  // namespace torchmap
