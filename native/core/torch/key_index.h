// Finds the keys that a dict is given twice. Strings and integers are equal by value, all others by
// node.
#pragma once

#include <span>
#include <vector>

#include "core/fingerprints.h"
#include "core/pickle/nodes.h"

namespace torchmap {

class KeyIndex {
 public:
  explicit KeyIndex(const Pool& pool);

  // Whether no two of `count` keys are equal; false where two may be. `key_of(i)` is the node of
  // one. Adds to `work` what looking at their text costs.
  template <typename F>
  bool are_distinct(uint32_t count, const F& key_of, uint64_t& work) {
    return fingerprints_.differ(count, [&](uint32_t i) { return hash(key_of(i), work); });
  }

  // For each key the position of the first one that is equal to it, mostly its own. Adds to `work`
  // as above.
  std::vector<uint32_t> first_places(std::span<const NodeId> keys, uint64_t& work) const;

 private:
  uint64_t hash(NodeId key, uint64_t& work) const;
  bool equal(NodeId a, NodeId b) const;

  const Pool& pool_;
  const uint64_t seed_;
  Fingerprints fingerprints_;
};

}  // namespace torchmap
