// The keys of one dict, numbered, so that a key given twice is found. Strings and integers are
// equal by value, all others by node.
#pragma once

#include <vector>

#include "core/pickle/nodes.h"

namespace torchmap {

class KeyIndex {
 public:
  explicit KeyIndex(const Pool& pool);

  // Forgets all keys; there will be about `count` of them.
  void clear(size_t count);

  // The number of the key, from 0 on: of the equal one that was added before, or a new one. Adds to
  // `work` what looking at its text costs.
  uint32_t add(NodeId key, uint64_t& work);

  size_t size() const { return keys_.size(); }

 private:
  struct Slot {
    uint32_t number;  // of the key, plus 1; 0 is a free slot
    uint32_t tag;     // the half of the hash that does not choose the slot
  };

  uint64_t hash(NodeId key, uint64_t& work) const;
  bool equal(NodeId a, NodeId b) const;
  Slot& slot_of(NodeId key, uint64_t& work);

  const Pool& pool_;
  const uint64_t seed_;
  Buffer<NodeId> keys_;
  std::vector<Slot> slots_;  // a power of two, at most half of them in use
};

}  // namespace torchmap
